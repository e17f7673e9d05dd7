/** Ends a lab that nobody is left to end: `node take-down.ts ROOT NAME`, started by its supervisor. */
import { Cgroup } from './cgroup.ts'
import { Lab } from './lab.ts'

const [root = '', name = ''] = process.argv.slice(2)
// A cgroup with a process in it cannot be removed, and this one began in the lab's.
await (await Cgroup.at('/')).enter(process.pid)
await new Lab(root, name).down()
