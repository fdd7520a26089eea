use super::*;
use crate::clock::Moment;
use crate::doctor::State;
