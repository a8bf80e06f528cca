# What .ci/run and its lanes share: steps that are announced and timed, and packages that are installed when missing.
# Sourced by each, with the lane's name in `lane` and a folder of this run in `work`.
set -euo pipefail

export CARGO_TERM_COLOR=never CARGO_INCREMENTAL=0
# No debugger looks at what is built here, and compiling is most of the time.
export CARGO_PROFILE_DEV_DEBUG=false CARGO_PROFILE_RELEASE_DEBUG=false
# The levels and the model are this script's to choose.
unset SELFATTN_LEVEL SELFATTN_MODEL

step_name=
step_start=0
spent_before=0

# Seconds of CPU that this lane's programs have taken, in `spent`. `times` knows them in this shell only, not in a pipe.
read_cpu() {
    times >"$work/cpu.$lane"
    spent=$(awk 'NR == 2 { for (i = 1; i <= 2; i++) { split($i, t, /[ms]/); sum += t[1] * 60 + t[2] } printf "%d", sum }' "$work/cpu.$lane")
}

finish_step() {
    [ -n "$step_name" ] || return 0
    read_cpu
    local took="$((SECONDS - step_start)) s, $((spent - spent_before)) s of CPU"
    printf '%-24s %s: %s\n' "$took" "$lane" "$step_name" >>"$work/times"
    echo "<== $step_name: $took"
    step_name=
}

step() {
    finish_step
    step_name=$1
    step_start=$SECONDS
    read_cpu
    spent_before=$spent
    echo
    echo "==> $step_name"
}

fail() {
    echo "$*" >&2
    exit 1
}

# Installs a Debian package.
install() {
    echo "installing $1"
    [ -n "${apt_updated:-}" ] || apt-get update -qq
    apt_updated=1
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$1"
}

# need COMMAND PACKAGE: installs the package if there is no such command.
need() {
    command -v "$1" >/dev/null && return
    install "$2"
    command -v "$1" >/dev/null || fail "no $1, even after installing $2"
}

# README.md must have every command that is run here as its own.
readme_has() {
    grep -qF -- "$1" README.md || fail "README.md lacks: $1"
}

at_exit() {
    local code=$?
    [ "$code" -eq 0 ] || echo "==> FAILED: ${step_name:-start}, after $((SECONDS - step_start)) s (exit code $code)" >&2
}
trap at_exit EXIT
