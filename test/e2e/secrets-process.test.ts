import { secretsSuite } from './secrets-suite.ts'

secretsSuite({ runner: 'process', skip: false, subnet: '10.234.0.0/16' })
