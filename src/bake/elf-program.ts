import { neededLibraries, type ElfFacts } from '../debian/elf-facts.ts'
import { DebianError } from '../debian/debian-error.ts'
import { FairwayError } from '../model/errors.ts'
import type { Architecture } from './bake-job.ts'

/** e_machine (System V ABI) of what we bake for. */
const MACHINES = { amd64: 62, arm64: 183 } as const
const MACHINE_NAMES: Readonly<Record<number, string>> = {
  3: '32-bit x86',
  40: '32-bit ARM',
  62: 'x86-64',
  183: 'ARM64',
  243: 'RISC-V',
}

/**
 * Facts of a program that runs on Linux and this architecture.
 * @throws FairwayError INVALID_SOURCE saying what the file is instead
 */
export async function linuxProgram(
  file: string,
  name: string,
  architecture: Architecture,
): Promise<ElfFacts> {
  const facts = await readFacts(file, name)
  if (facts === null) {
    throw new FairwayError(
      'INVALID_SOURCE',
      `${name} is not a Linux program (ELF); a program for another system cannot run here`,
      {
        hint: 'Build it for Linux: GOOS=linux go build, or cargo build --target x86_64-unknown-linux-musl.',
      },
    )
  }
  if (facts.machine !== MACHINES[architecture] || facts.class !== 64) {
    const is = MACHINE_NAMES[facts.machine] ?? `machine ${String(facts.machine)}`
    throw new FairwayError(
      'INVALID_SOURCE',
      `${name} is built for ${is}, this platform runs ${MACHINE_NAMES[MACHINES[architecture]] ?? architecture}`,
    )
  }
  if (facts.type === 'other') {
    throw new FairwayError(
      'INVALID_SOURCE',
      `${name} is an ELF object file, not a program; link it first`,
    )
  }
  return facts
}

async function readFacts(file: string, name: string): Promise<ElfFacts | null> {
  try {
    return await neededLibraries({ file })
  } catch (cause) {
    if (!(cause instanceof DebianError)) throw cause
    throw new FairwayError('INVALID_SOURCE', `${name} is damaged: ${cause.message}`, { cause })
  }
}
