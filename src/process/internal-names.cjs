'use strict'
// Loaded by Node programs of an instance before anything else: a connection to port 80 of an internal name goes to the instance's door. Old Node versions load
// this too: nothing here may be newer than Node 12. TLS and other ports are left alone, as is everything else.
const { Socket } = require('net')

const door = /^http:\/\/(127\.0\.0\.1):(\d+)$/.exec(process.env.FAIRWAY_INTERNAL || '')
const connect = Socket.prototype.connect

if (door !== null) {
  Socket.prototype.connect = function (...args) {
    // Node's own modules give their normalized arguments as one array, which carries a mark: it has to stay the same array.
    const list = Array.isArray(args[0]) ? args[0] : args
    if (isObject(list[0])) {
      if (isInternal(list[0].host || list[0].hostname, list[0].port)) list[0] = toDoor(list[0])
    } else if (isInternal(list[1], list[0])) {
      list[0] = Number(door[2])
      list[1] = door[1]
    }
    return connect.apply(this, args)
  }
}

function isObject(value) {
  return typeof value === 'object' && value !== null
}

function isInternal(host, port) {
  return typeof host === 'string' && Number(port) === 80 && /\.internal\.?$/i.test(host)
}

function toDoor(options) {
  return Object.assign({}, options, { host: door[1], port: Number(door[2]), family: 4 })
}
