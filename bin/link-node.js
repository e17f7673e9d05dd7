// After an install: puts the Node that came with it first for npm's scripts. npm 9 and 10 take the link `node` away again, together with the
// package for the other processor. Runs on any Node; does nothing where no such package is (other systems).
import { existsSync, mkdirSync, rmSync, symlinkSync } from 'node:fs'

const modules = new URL('../node_modules/', import.meta.url)
const target = `node-${process.platform}-${process.arch}/bin/node`

if (existsSync(new URL(target, modules)) && !existsSync(new URL('.bin/node', modules))) {
  mkdirSync(new URL('.bin/', modules), { recursive: true })
  rmSync(new URL('.bin/node', modules), { force: true })
  symlinkSync(`../${target}`, new URL('.bin/node', modules))
}
