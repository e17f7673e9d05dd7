import { platformSuite } from './platform-suite.ts'

platformSuite({ runner: 'process', skip: false, subnet: '10.210.0.0/16' })
