import tseslint from 'typescript-eslint'

const noChildProcess = {
  paths: [
    { name: 'node:child_process', message: 'Start programs through lib/process.ts only.' },
    { name: 'child_process', message: 'Start programs through lib/process.ts only.' },
  ],
}

export default tseslint.config(
  { ignores: ['node_modules', 'examples', '**/*.js', '**/*.cjs', 'web/dist'] },
  ...tseslint.configs.strictTypeChecked,
  {
    languageOptions: { parserOptions: { projectService: true } },
    rules: {
      'max-lines': ['error', { max: 400 }],
      'max-lines-per-function': ['error', { max: 60, skipBlankLines: true, skipComments: true }],
      complexity: ['error', 15],
      'no-restricted-imports': ['error', noChildProcess],
      'no-restricted-properties': [
        'error',
        {
          object: 'process',
          property: 'env',
          message: 'Only bin/environment.ts and lib/process.ts read the environment.',
        },
      ],
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
    },
  },
  {
    files: ['src/lib/process.ts', 'src/bin/environment.ts'],
    rules: { 'no-restricted-imports': 'off', 'no-restricted-properties': 'off' },
  },
  {
    files: ['**/*.test.ts', 'test/**', 'bench/**'],
    rules: {
      'max-lines-per-function': 'off',
      'max-lines': ['error', { max: 600 }],
      'no-restricted-properties': 'off',
      '@typescript-eslint/no-floating-promises': 'off',
    },
  },
)
