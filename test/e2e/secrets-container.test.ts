import { containersWork } from '../containers-work.ts'
import { secretsSuite } from './secrets-suite.ts'

secretsSuite({ runner: 'container', skip: await containersWork(), subnet: '10.238.0.0/16' })
