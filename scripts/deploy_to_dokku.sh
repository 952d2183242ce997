#!/usr/bin/env bash
# Pushes the commit that is checked out to the Dokku app at DOKKU_REMOTE_URL (ssh://dokku@host[:port]/app, or
# dokku@host:app), signed in by DOKKU_PRIVATE_KEY. The host must be one of DOKKU_KNOWN_HOSTS, or is asked for its key.
# FORCE=--force deploys a commit that is not ahead of what runs.
set -euo pipefail
: "${DOKKU_REMOTE_URL:?is the address of the app: ssh://dokku@host:22/app}" "${DOKKU_PRIVATE_KEY:?is the deploy key}"

if [[ $DOKKU_REMOTE_URL =~ ^ssh://([^@/]+@)?([^:/]+)(:([0-9]+))?/.+ ]]; then
  host=${BASH_REMATCH[2]} port=${BASH_REMATCH[4]:-22}
elif [[ $DOKKU_REMOTE_URL =~ ^([^@/]+@)?([^:/]+):[^/] ]]; then
  host=${BASH_REMATCH[2]} port=22
else
  echo "DOKKU_REMOTE_URL is neither ssh://dokku@host:22/app nor dokku@host:app" >&2
  exit 1
fi

private=$(mktemp -d)
trap 'rm -rf "$private"' EXIT
(umask 077 && printf '%s\n' "$DOKKU_PRIVATE_KEY" > "$private/key")
if [[ -n ${DOKKU_KNOWN_HOSTS:-} ]]; then
  printf '%s\n' "$DOKKU_KNOWN_HOSTS" > "$private/known_hosts"
else
  ssh-keyscan -T 20 -p "$port" "$host" > "$private/known_hosts"
fi

export GIT_SSH_COMMAND="ssh -i $private/key -o IdentitiesOnly=yes -o UserKnownHostsFile=$private/known_hosts -o StrictHostKeyChecking=yes"
git push ${FORCE:+"$FORCE"} "$DOKKU_REMOTE_URL" HEAD:refs/heads/main
