import { ERRORS } from '../model/errors.ts'
import type { Command } from './command.ts'
import { commandHelp } from './help.ts'
import { DEFAULT_PATTERNS, NODE_LOCKFILES } from './pack/left-out.ts'

const INTRODUCTION = `# The command line

This page is made from the command table (\`npm run docs\`); a test keeps it up to date. \`fairway COMMAND --help\` prints the same.

    fairway up                                   # start the platform on this machine
    cd my-app && fairway deploy                  # a folder that is recognised needs no file
    fairway deploy target/app.jar --app forms    # or an artifact
    fairway ps && fairway logs -f

## What every command does alike

- **Steps and results go to standard output, problems and questions to standard error.** On a terminal steps appear as they happen and lines are cut to its width; in a pipe the same lines come plain, without colours and whole.
- **\`--json\`** prints one JSON object. Commands that stream (\`deploy\`, \`rollback\`, \`env set\`, \`logs\`, \`run\`, \`exec\`, \`ps -w\`) print one object per line, as the API sends them. A failure is \`{"error":{"code","message","hint","details","diagnosis"}}\` on standard error.
- **\`--quiet\`** prints results only: \`fairway deploy -q\` prints the URLs.
- **Which app:** \`--app\`, else \`name\` in fairway.yaml, else the name of the folder or artifact in lower case without its version. **Which environment:** \`--env\`, else production.
- **Which server:** \`--server\`, else \`FAIRWAY_SERVER\`, else the one last logged in to. **As whom:** \`FAIRWAY_TOKEN\`, else the token kept for that server in \`~/.config/fairway/config.json\` (mode 0600; \`XDG_CONFIG_HOME\` is honoured).
- **Ctrl-C** while a rollout is shown leaves it going on and says how to watch it. A lost connection is picked up again; the rollout does not depend on it.

## What is sent

Files are hashed here and only contents that the server lacks travel. Digests are remembered in \`~/.cache/fairway\` by size, times and inode, so an unchanged tree is not read again.

Left out, in this order:

1. Always: version control (\`.git\` and the like), \`.env\` and \`.env.*\` (not \`.env.example\`, \`.sample\`, \`.template\`, \`.dist\`, \`.defaults\`), private keys (\`id_*\`, \`*.pem\`, \`*.key\` that hold one; \`*.p12\`, \`*.pfx\`; any other file that holds one, unless a \`!\` line of \`.fairwayignore\` names it), stored credentials (\`.ssh\`, \`.aws\`, \`.kube\`, \`.netrc\`, \`.pypirc\`, an \`.npmrc\` with a token written out…). Values go to the app with \`fairway env set --from-file .env\`.
2. \`node_modules\` beside or below a lockfile (LOCKFILES), Python virtual environments, and PATTERNS.
3. What \`.fairwayignore\` names, in the syntax of .gitignore; a \`!\` line also brings back what rule 2 leaves out. Without that file \`.dockerignore\` is used. \`.gitignore\` is not: what git ignores is often just what is to be deployed, such as \`dist/\` or \`target/\`.

Symbolic links are kept where they stay inside the folder; one that leaves it is an error that names it. An OCI layout is sent whole.

## Exit codes

`

const EXIT_MEANINGS: Readonly<Record<number, string>> = {
  0: 'done',
  1: 'failed otherwise',
  2: 'wrong arguments, app file or source',
  3: 'not logged in, or not allowed',
  4: 'not found',
  5: 'in conflict with the current state, or superseded by a newer deploy',
  6: 'the build failed',
  7: 'the rollout failed; the old release serves',
  8: 'server, its database, router, runner or disk not available',
  9: 'took too long',
  70: 'a bug in Fairway',
  130: 'interrupted with Ctrl-C',
}

/** docs/cli.md: what all commands have in common, then the help of each. */
export function cliPage(commands: readonly Command[]): string {
  const introduction = INTRODUCTION.replace(
    'LOCKFILES',
    NODE_LOCKFILES.map((file) => `\`${file}\``).join(', '),
  ).replace(
    'PATTERNS',
    DEFAULT_PATTERNS.trim()
      .split('\n')
      .map((pattern) => `\`${pattern}\``)
      .join(', '),
  )
  const sections = commands.map(
    (command) => `### ${command.name}\n\n\`\`\`\n${commandHelp(command, false)}\n\`\`\`\n`,
  )
  return [
    introduction,
    exitTable(),
    '\n`run` and `exec` end with the exit code of the command that they ran.\n\n## Commands\n\n',
    sections.join('\n'),
  ].join('')
}

function exitTable(): string {
  const rows = Object.entries(EXIT_MEANINGS).map(([exit, meaning]) => {
    const codes = Object.entries(ERRORS).flatMap(([code, kind]) =>
      kind.exit === Number(exit) ? [`\`${code}\``] : [],
    )
    return `| ${exit} | ${meaning} | ${codes.join(', ')} |`
  })
  return ['| exit code | meaning | error codes |', '|---|---|---|', ...rows, ''].join('\n')
}
