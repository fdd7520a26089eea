// A simple fan-out with `ws` that filters per client and serialises each event once for all
// clients. The benchmark compares the hub with this server.
import { createInterface } from 'node:readline'
import { WebSocketServer } from 'ws'

const clients = new Set()
const status = (message) => ({ ev: 'status', status: 'success', message })
const server = new WebSocketServer({ port: 0, host: '127.0.0.1', backlog: 4096, perMessageDeflate: false })

server.on('connection', (socket) => {
  const client = { socket, channels: new Set() }
  clients.add(client)
  socket.on('close', () => clients.delete(client))
  socket.on('error', () => {})
  socket.on('message', (text) => {
    const names = JSON.parse(text).params.split(',')
    names.forEach((name) => client.channels.add(name))
    socket.send(JSON.stringify(names.map((name) => status(`subscribed to: ${name}`))))
  })
})

server.on('listening', () => console.log(`port ${server.address().port}`))

const now = () => performance.timeOrigin + performance.now()

const publish = (number, channels) => {
  const ticker = `I:C${number % channels}`
  const event = { ev: 'V', val: 5000 + (number % 100) / 4, T: ticker, n: number, t: Math.round(now() * 1000) }
  const bytes = Buffer.from(JSON.stringify([event]))
  const channel = `V.${ticker}`
  for (const { socket, channels } of clients) {
    if (channels.has(channel)) socket.send(bytes, { binary: false })
  }
}

createInterface({ input: process.stdin }).on('line', (line) => {
  const [channels, period, total] = line.split(' ').slice(1).map(Number)
  const start = now()
  let number = 0
  const tick = () => {
    while (number < total && start + (number * period) / 1000 <= now()) publish(number++, channels)
    if (number < total) setTimeout(tick, Math.max(0, start + (number * period) / 1000 - now()))
    else console.log('done')
  }
  tick()
})
