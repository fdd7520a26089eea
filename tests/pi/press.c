/* press CODE …: a simulated button at a GPIO that is pressed once for each key code. The display has
   ten seconds to find the button, and two seconds after each press. */
#include <fcntl.h>
#include <linux/uinput.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static int device;

static void check(int result, const char *what) {
  if (result < 0) {
    perror(what);
    exit(1);
  }
}

static void write_event(int type, int code, int value) {
  struct input_event event = {.type = type, .code = code, .value = value};
  check(write(device, &event, sizeof event), "write");
}

int main(int count, char **arguments) {
  struct uinput_setup setup = {.id = {.bustype = BUS_HOST}};
  strcpy(setup.name, "button@5");
  device = open("/dev/uinput", O_WRONLY);
  check(device, "/dev/uinput");
  check(ioctl(device, UI_SET_EVBIT, EV_KEY), "UI_SET_EVBIT");
  for (int i = 1; i < count; i++)
    check(ioctl(device, UI_SET_KEYBIT, atoi(arguments[i])), "UI_SET_KEYBIT");
  check(ioctl(device, UI_DEV_SETUP, &setup), "UI_DEV_SETUP");
  check(ioctl(device, UI_DEV_CREATE), "UI_DEV_CREATE");
  sleep(10);
  for (int i = 1; i < count; i++) {
    for (int value = 1; value >= 0; value--) {
      write_event(EV_KEY, atoi(arguments[i]), value);
      write_event(EV_SYN, SYN_REPORT, 0);
    }
    sleep(2);
  }
  return 0;
}
