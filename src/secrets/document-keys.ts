import { FairwayError } from '../model/errors.ts'
import type { AppRef } from '../model/names.ts'
import type { EnvironmentKeys, TransitKeys } from '../model/secrets.ts'
import type { MasterKey } from '../sops/data-key.ts'
import type { MetadataObject } from '../sops/document.ts'
import { ageIdentities } from '../sops/keys/age.ts'
import type { KeyOpener } from '../sops/keys/key-kind.ts'
import { idOf, textField } from '../sops/keys/key-names.ts'
import type { KeyType } from '../sops/metadata.ts'
import { SopsError } from '../sops/sops-error.ts'
import { keyNamed, keyTexts, OWN_KEY, type KeyRule } from './key-rules.ts'

export interface DocumentKeysOptions {
  /** Keys that this server makes. */
  readonly own: EnvironmentKeys
  /** Which environments have others; absent = none. */
  readonly rules?: readonly KeyRule[]
  /** What asks the services that keep those. */
  readonly services?: readonly KeyOpener[]
}

/** What the encrypted files of an environment are written for, and what opens them: a key that the server made, or keys that Vault or a cloud keeps. */
export class DocumentKeys implements Pick<EnvironmentKeys, 'recipient'> {
  readonly #own: EnvironmentKeys
  readonly #rules: readonly KeyRule[]
  readonly #services: readonly KeyOpener[]

  constructor({ own, rules = [], services = [] }: DocumentKeysOptions) {
    this.#own = own
    this.#rules = rules
    this.#services = services
  }

  /** What authors encrypt for: an age recipient, or what names a key elsewhere. @throws FairwayError as `EnvironmentKeys` */
  async recipient(ref: AppRef): Promise<string> {
    const [first = OWN_KEY] = keyTexts(this.#rules, ref)
    return first === OWN_KEY ? this.#own.recipient(ref) : first
  }

  /** What opens the files of this environment, and nothing else. @throws FairwayError as `EnvironmentKeys` */
  async openers(ref: AppRef): Promise<readonly KeyOpener[]> {
    const texts = keyTexts(this.#rules, ref)
    const elsewhere = texts.map(keyNamed).filter((key) => key !== null)
    const services = this.#services.map((service) =>
      onlyFor(
        service,
        elsewhere.filter(({ type }) => type === service.type),
      ),
    )
    if (!texts.includes(OWN_KEY)) return services
    const identity = await this.#own.identity(ref)
    return [ageIdentities(identity?.revealText() ?? ''), ...services]
  }
}

/** Keys of Vault's transit engine by the server's login. Addresses in files only name keys: it is asked where the server is configured to. */
export function transitOpener(transit: TransitKeys): KeyOpener {
  return {
    type: 'hc_vault',
    unwrap: async (fields) => {
      const key = { mount: textField(fields, 'engine_path'), name: textField(fields, 'key_name') }
      try {
        const opened = await transit.decrypt(key, textField(fields, 'enc'))
        return Buffer.from(opened.reveal())
      } catch (error) {
        if (!(error instanceof FairwayError)) throw error
        // Another key of the file may do.
        throw new SopsError('KEY_FAILED', error.message, error)
      }
    },
  }
}

/**
 * The server's credentials may reach keys of other environments, and whoever writes a file names the key: so it is one of these or none, and nothing that the file says about it beside the
 * ciphertext (a profile of AWS, an address) is used.
 */
function onlyFor(service: KeyOpener, keys: readonly MasterKey[]): KeyOpener {
  return {
    type: service.type,
    unwrap: async (fields) => {
      const wanted = comparable(service.type, fields)
      const key = keys.find(
        ({ type, names = {} }) =>
          comparable(type, { version: textField(fields, 'version'), ...given(names) }) === wanted,
      )
      return key === undefined ? null : service.unwrap({ ...fields, ...given(key.names ?? {}) })
    },
  }
}

/** Azure: a key that is configured without a version is meant in all of them. */
function given(names: MetadataObject): MetadataObject {
  return names['version'] === ''
    ? Object.fromEntries(Object.entries(names).filter(([name]) => name !== 'version'))
    : names
}

function comparable(type: KeyType, fields: MetadataObject): string {
  if (type !== 'hc_vault') return idOf(type, fields)
  const path = textField(fields, 'engine_path')
    .split('/')
    .filter((part) => part !== '')
  const [address, name] = [textField(fields, 'vault_address'), textField(fields, 'key_name')]
  return JSON.stringify([address.replace(/\/$/, ''), ...path, name])
}
