import { fresh } from './content.js'

// "12 left" beside a field with a limit, once it is worth knowing.
export function start(root) {
  for (const label of fresh(root, '[data-count]', 'count')) {
    const field = document.getElementById(label.dataset.count)
    const show = () => {
      const left = field.maxLength - field.value.length
      label.textContent = left <= field.maxLength * 0.2 || left < 50 ? `${left} left` : ''
      label.classList.toggle('over', left <= 0)
    }
    field.addEventListener('input', show)
    show()
  }
}
