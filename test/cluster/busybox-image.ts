import { writeImageArchive } from './image-archive.ts'

/** What pods of the tests run; loaded into nodes, pulled from nowhere. */
export const BUSYBOX_IMAGE = 'fairway.test/busybox:1'
/** Of the Debian package busybox-static: needs nothing else of an image. */
export const BUSYBOX = '/bin/busybox'

const APPLETS = [
  ...['sh', 'cat', 'date', 'dd', 'echo', 'env', 'false', 'grep', 'head', 'hostname', 'httpd', 'id'],
  ...[
    'kill',
    'ls',
    'mkdir',
    'nc',
    'nslookup',
    'printf',
    'ps',
    'rm',
    'seq',
    'sleep',
    'stat',
    'stty',
    'tail',
    'tar',
  ],
  ...['test', 'timeout', 'touch', 'true', 'wget'],
]

/** Writes the archive of an image with a shell and small tools, a web server among them. */
export async function writeBusyboxImage(path: string, reference = BUSYBOX_IMAGE): Promise<void> {
  await writeImageArchive(path, {
    reference,
    files: { 'bin/busybox': BUSYBOX },
    links: Object.fromEntries(APPLETS.map((name) => [`bin/${name}`, 'busybox'])),
    entrypoint: ['/bin/sh'],
  })
}
