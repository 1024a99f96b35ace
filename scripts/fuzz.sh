# Sourced by dev: builds the fuzz targets of tests/fuzz with Clang and runs them.
# shellcheck shell=bash

# Clang 14, Debian 12's own, does not know std::source_location.
CLANG_VERSIONS=(16 17 18 19 20 21)

# Leaves in CLANG the version that is here or can be installed, and installs what is missing of it.
ensure_clang() {
  local version packages
  for version in "${CLANG_VERSIONS[@]}"; do
    [[ -n "$(candidate_version "libclang-rt-$version-dev")" ]] || continue
    CLANG=$version
    packages=("clang-$version" "libclang-rt-$version-dev" "libomp-$version-dev" "llvm-$version")
    [[ -n "${HOCKET_SKIP_SETUP:-}" ]] || ensure_packages "${packages[@]}"
    return
  done
  fail "fuzzing needs Clang 16 or later with its libFuzzer, and there is no package of it here"
}

fuzz_targets() { # by name, from tests/fuzz/NAME_fuzz.cc
  local file
  for file in "$ROOT"/tests/fuzz/*_fuzz.cc; do
    file=${file##*/}
    printf '%s\n' "${file%_fuzz.cc}"
  done
}

build_fuzz_targets() { # NAME...
  local folder=$ROOT/build-fuzz executables
  setup
  ensure_clang
  if [[ ! -e "$folder/build.ninja" || "$ROOT/CMakePresets.json" -nt "$folder/build.ninja" ]]; then
    (cd "$ROOT" && run_step "Configuring $folder" 300 cmake --preset fuzz "-DCMAKE_C_COMPILER=clang-$CLANG" \
      "-DCMAKE_CXX_COMPILER=clang++-$CLANG" "-DHOCKET_RUST_TARGET_DIR=$CACHE/rust-target-fuzz") ||
      fail "configuring failed; removing $folder starts afresh."
  fi
  executables=("${@/%/_fuzz}")
  ninja -C "$folder" "${executables[@]}" >&2 || fail "the build failed; the first error is above"
}

# run_fuzz_target NAME SECONDS: what it finds new is kept in build-fuzz/corpus for the next run.
run_fuzz_target() {
  local name=$1 seconds=$2 folder=$ROOT/build-fuzz found=$ROOT/build-fuzz/corpus/$1 seeds=$ROOT/tests/fuzz/corpus/$1
  local options=("-max_total_time=$seconds" -timeout=60 -rss_limit_mb=2560 -malloc_limit_mb=1024 -max_len=65536
    -print_final_stats=1 "-artifact_prefix=$folder/found/$name-")
  [[ -e "$ROOT/tests/fuzz/$name.dict" ]] && options+=("-dict=$ROOT/tests/fuzz/$name.dict")
  mkdir -p "$found" "$seeds" "$folder/found"
  say "Fuzzing $name for $seconds s"
  nice -n 19 "$folder/tests/fuzz/${name}_fuzz" "${options[@]}" "$found" "$seeds" >"$folder/found/$name.log" 2>&1 </dev/null || {
    tail -n 60 "$folder/found/$name.log" >&2
    warn "$name: the input is in $folder/found. Fix what it shows, and keep it as $seeds/<what it shows>."
    return 1
  }
  grep -aE '^stat::|DONE' "$folder/found/$name.log" >&2
}

# Takes what the runs have found over into the corpus of the repository, without what adds nothing.
merge_fuzz_corpus() { # NAME
  local name=$1 folder=$ROOT/build-fuzz seeds=$ROOT/tests/fuzz/corpus/$1
  say "Merging what was found into $seeds"
  "$folder/tests/fuzz/${name}_fuzz" -merge=1 -timeout=10 -rss_limit_mb=2560 -max_len=65536 "$seeds" \
    "$folder/corpus/$name" >"$folder/found/$name.merge.log" 2>&1 || {
    tail -n 20 "$folder/found/$name.merge.log" >&2
    return 1
  }
}

fuzz() {
  local names=() seconds=60 merge="" name bad=()
  while (($# > 0)); do
    case $1 in
      --seconds)
        [[ "${2:-}" =~ ^[0-9]+$ ]] || fail "--seconds needs a whole number"
        seconds=$2
        shift
        ;;
      --merge) merge=1 ;;
      -*) fail "unknown argument '$1'. ./dev fuzz takes --seconds N, --merge and names of targets." ;;
      *)
        [[ -e "$ROOT/tests/fuzz/$1_fuzz.cc" ]] || fail "no fuzz target '$1': $(fuzz_targets | paste -sd' ')"
        names+=("$1")
        ;;
    esac
    shift
  done
  ((${#names[@]} > 0)) || mapfile -t names < <(fuzz_targets)
  build_fuzz_targets "${names[@]}"
  for name in "${names[@]}"; do
    run_fuzz_target "$name" "$seconds" || bad+=("$name")
    [[ -z "$merge" ]] || merge_fuzz_corpus "$name" || bad+=("$name")
  done
  ((${#bad[@]} == 0)) || fail "fuzz: ${bad[*]} found something"
}
