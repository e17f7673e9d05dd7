import { containersWork } from '../containers-work.ts'
import { platformSuite } from './platform-suite.ts'

platformSuite({ runner: 'container', skip: await containersWork(), subnet: '10.211.0.0/16' })
