// Proves who it is with the files that the platform gives it. `serve PEER` welcomes one peer; `call PORT PEER` connects to one, prints what it says, and ends.
const { readFileSync, watch } = require('node:fs')
const { join } = require('node:path')
const tls = require('node:tls')

const folder = process.env.FAIRWAY_IDENTITY
// One read for both: between two reads the files may be swapped.
const files = () => {
  const pair = readFileSync(join(folder, 'svid_with_key.pem'))
  return { key: pair, cert: pair, ca: readFileSync(join(folder, 'bundle.pem')) }
}
const refusal = (certificate, peer) =>
  certificate.subjectaltname === `URI:${peer}`
    ? undefined
    : new Error(`${certificate.subjectaltname} is not ${peer}`)

const [, , what, ...words] = process.argv
if (what === 'serve') {
  const [peer] = words
  const server = tls.createServer(
    { ...files(), requestCert: true, rejectUnauthorized: true, minVersion: 'TLSv1.3' },
    (socket) => {
      socket.on('error', () => {})
      const wrong = refusal(socket.getPeerCertificate(), peer)
      socket.end(wrong === undefined ? 'welcome' : 'go away')
    },
  )
  watch(folder, () => {
    try {
      server.setSecureContext(files())
    } catch {
      // In the middle of a swap: the end of it is told too.
    }
  })
  server.listen(Number(process.env.PORT))
} else {
  const [port, peer, host = '127.0.0.1'] = words
  const socket = tls.connect({
    ...files(),
    host,
    port: Number(port),
    minVersion: 'TLSv1.3',
    checkServerIdentity: (_host, certificate) => refusal(certificate, peer),
  })
  socket.on('error', (error) => {
    console.log(JSON.stringify({ refused: error.message }))
    process.exitCode = 1
  })
  socket.on('data', (data) => {
    const { serialNumber, subjectaltname } = socket.getPeerCertificate()
    console.log(JSON.stringify({ said: String(data), serialNumber, subjectaltname }))
  })
}
