import { icon } from './content.js'

export function make(tag, className = '', ...children) {
  const made = document.createElement(tag)
  if (className) made.className = className
  made.append(...children)
  return made
}

export function button(className, name, label) {
  const made = make('button', className, icon(name))
  made.type = 'button'
  made.setAttribute('aria-label', label)
  return made
}
