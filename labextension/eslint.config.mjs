import jupyter from '@jupyter/eslint-plugin';
import tseslint from 'typescript-eslint';

export default tseslint.config(
  { ignores: ['lib/', 'node_modules/'] },
  ...tseslint.configs.recommendedTypeChecked.map(config => ({ ...config, files: ['src/**/*.{ts,tsx}'] })),
  { plugins: { jupyter } },
  ...jupyter.configs.recommended,
  {
    files: ['src/**/*.{ts,tsx}'],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      curly: ['error', 'all'],
      eqeqeq: 'error',
      'prefer-const': 'error',
      // A namespace beside a class holds its options, as everywhere in JupyterLab.
      '@typescript-eslint/no-namespace': 'off',
      // The panel and its model have to be there at once, for the layout to be restored; both are small.
      'jupyter/prefer-lazy-imports': ['warn', { ignoreImports: ['./model', './panel'] }]
    }
  }
);
