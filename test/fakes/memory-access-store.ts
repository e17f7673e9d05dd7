import type { AccessStore, Binding, Protection, Team } from '../../src/model/access.ts'

/** Teams, bindings and protections in memory. */
export class MemoryAccessStore implements AccessStore {
  #teams: readonly Team[] = []
  #bindings: readonly Binding[] = []
  #protections: readonly Protection[] = []

  async listTeams(): Promise<readonly Team[]> {
    return await Promise.resolve(this.#teams)
  }

  async putTeam(team: Team): Promise<void> {
    await this.deleteTeam(team.name)
    this.#teams = [...this.#teams, team].sort((a, b) => (a.name < b.name ? -1 : 1))
  }

  async deleteTeam(name: string): Promise<boolean> {
    await Promise.resolve()
    const before = this.#teams.length
    this.#teams = this.#teams.filter((team) => team.name !== name)
    return this.#teams.length < before
  }

  async listBindings(): Promise<readonly Binding[]> {
    return await Promise.resolve(this.#bindings)
  }

  async addBinding(binding: Binding): Promise<void> {
    await Promise.resolve()
    this.#bindings = [binding, ...this.#bindings]
  }

  async deleteBinding(id: string): Promise<boolean> {
    await Promise.resolve()
    const before = this.#bindings.length
    this.#bindings = this.#bindings.filter((binding) => binding.id !== id)
    return this.#bindings.length < before
  }

  async listProtections(): Promise<readonly Protection[]> {
    return await Promise.resolve(this.#protections)
  }

  async putProtection(protection: Protection): Promise<void> {
    await this.deleteProtection(protection.environment)
    this.#protections = [...this.#protections, protection]
  }

  async deleteProtection(environment: string): Promise<boolean> {
    await Promise.resolve()
    const before = this.#protections.length
    this.#protections = this.#protections.filter((one) => one.environment !== environment)
    return this.#protections.length < before
  }
}
