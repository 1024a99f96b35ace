# Sourced by dev: telling what happens, and running long steps with progress and a limit on their time.
# Everything here goes to stderr, so that the standard output of `generate` and its like stays theirs.
# shellcheck shell=bash

say() { printf '==> %s\n' "$*" >&2; }
warn() { printf 'warning: %s\n' "$*" >&2; }

fail() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

# run_step LABEL LIMIT_S COMMAND...: runs the command quietly, shows how long it has taken, and shows the end of its
# output when it fails.
run_step() {
  local label=$1 limit_s=$2 began=$SECONDS status=0 told=$SECONDS log pid
  shift 2
  log=$(mktemp "${TMPDIR:-/tmp}/hocket-step.XXXXXX")
  timeout --kill-after=10 "$limit_s" "$@" >"$log" 2>&1 </dev/null &
  pid=$!
  trap 'kill "$pid" 2>/dev/null; rm -f "$log"; exit 130' INT TERM
  [[ -t 2 ]] || say "$label"
  while kill -0 "$pid" 2>/dev/null; do
    if [[ -t 2 ]]; then
      printf '\r\033[K==> %s (%d s) %.60s' "$label" $((SECONDS - began)) "$(tail -n 1 "$log" | tr -d '\r')" >&2
    elif ((SECONDS - told >= 15)); then
      told=$SECONDS
      printf '    %d s: %.90s\n' $((SECONDS - began)) "$(tail -n 1 "$log" | tr -d '\r')" >&2
    fi
    sleep 0.5
  done
  wait "$pid" || status=$?
  trap - INT TERM
  [[ -t 2 ]] && printf '\r\033[K' >&2
  if ((status != 0)); then
    tail -n 25 "$log" >&2
    ((status == 124)) && warn "stopped after its limit of $limit_s s"
  elif [[ -t 2 ]]; then
    say "$label: $((SECONDS - began)) s"
  fi
  rm -f "$log"
  return "$status"
}

# prepare_root COMMAND: leaves in AS_ROOT what to put before a command that needs root. COMMAND is for the message only.
prepare_root() {
  AS_ROOT=()
  if ((EUID != 0)); then
    command -v sudo >/dev/null || fail "this needs root, and there is no sudo. Run as root: $*"
    sudo -n true 2>/dev/null || { [[ -t 0 ]] && sudo -v; } ||
      fail "this needs root, and sudo wants a password without a terminal. Run as root: $*"
    AS_ROOT=(sudo -n)
  fi
}
