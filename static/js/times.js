// Keeps "12 min" true while a page stays open; the words are those of the server.
const steps = [[3600, 60, 'min'], [86400, 3600, 'h'], [604800, 86400, 'd']]

function ago(moment) {
  const seconds = (Date.now() - moment) / 1000
  if (seconds < 60) return 'now'
  for (const [limit, unit, name] of steps) if (seconds < limit) return `${Math.floor(seconds / unit)} ${name}`
}

function update() {
  if (document.hidden) return
  for (const time of document.querySelectorAll('time[datetime]')) {
    const words = ago(Date.parse(time.dateTime))
    if (words && time.textContent !== words) time.textContent = words
  }
}

setInterval(update, 30_000)
document.addEventListener('visibilitychange', update)
