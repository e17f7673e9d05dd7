import { containersWork } from '../containers-work.ts'
import { secretsSuite } from './secrets-suite.ts'

secretsSuite({ runner: 'container', skip: await containersWork(), subnet: '10.235.0.0/16' })
