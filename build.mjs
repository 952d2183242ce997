// Bundles static/css and static/js into static/dist under hashed names and writes manifest.json: plain name → hashed name.
import { context } from 'esbuild'
import { createHash } from 'node:crypto'
import { mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { basename, extname, join } from 'node:path'

const dist = 'static/dist'
const copied = ['static/icons/icons.svg', 'static/icons/favicon.svg']

async function copyHashed(path) {
  const bytes = await readFile(path)
  const hash = createHash('sha256').update(bytes).digest('hex').slice(0, 8).toUpperCase()
  const name = `${basename(path, extname(path))}-${hash}${extname(path)}`
  await writeFile(join(dist, name), bytes)
  return name
}

async function writeManifest(result) {
  if (result.errors.length) return
  const names = {}
  for (const [path, output] of Object.entries(result.metafile.outputs)) {
    const name = path.slice(dist.length + 1)
    if (output.entryPoint) names[basename(output.entryPoint)] = name
    else if (name.endsWith('.woff2')) names[Object.keys(output.inputs)[0].split('/').pop()] = name
  }
  for (const path of copied) names[basename(path)] = await copyHashed(path)
  await writeFile(join(dist, 'manifest.json'), JSON.stringify(names, null, 1) + '\n')
  await removeStale(result.metafile.outputs, names)
}

async function removeStale(outputs, names) {
  const kept = new Set([...Object.keys(outputs).map((path) => path.slice(dist.length + 1)), ...Object.values(names)])
  for (const entry of await readdir(dist, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue
    const name = join(entry.parentPath ?? entry.path, entry.name).slice(dist.length + 1)
    if (name !== 'manifest.json' && !kept.has(name)) await rm(join(dist, name))
  }
}

await mkdir(dist, { recursive: true })
const build = await context({
  entryPoints: { app: 'static/js/app.js', style: 'static/css/style.css' },
  outdir: dist,
  bundle: true,
  splitting: true,
  format: 'esm',
  minify: true,
  sourcemap: true,
  metafile: true,
  target: ['es2022', 'chrome123', 'firefox121', 'safari17.5'],
  entryNames: '[name]-[hash]',
  chunkNames: 'chunk-[name]-[hash]',
  assetNames: '[name]-[hash]',
  loader: { '.woff2': 'file' },
  logLevel: 'warning',
  plugins: [{ name: 'manifest', setup: (build) => build.onEnd(writeManifest) }],
})
if (process.argv.includes('--watch')) await build.watch()
else {
  await build.rebuild()
  await build.dispose()
}
