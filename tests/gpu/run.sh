#!/bin/sh
# All that is to be seen on a GPU, on a machine with an NVIDIA driver and cuDNN, from the bundle that
# tests/gpu/bundle.sh made and in whose folder this stands: sh run.sh [PART...]
#
#   tests       the back end, the kernels and the whole network on the device against the CPU
#   bench       the figures of bench-gpu in f16: first frame, tiles, frames, flow, rows, sub-batches, precision
#   training    steps of training, and a short one against the CPU's
#   sanitizer   compute-sanitizer over the small tests: memcheck, initcheck
#   torch       PyTorch's figures on the same network, where python3 has it
#   precisions  bench in the other precisions
#
# All of them, in this order, without a PART. Each is through with what matters most when its time ends. Writes
# results/PART.tsv and PART.log while it runs, and results/results.json of all parts run so far after each.
# Ends with 0, with 1 where something failed, or with 77 where there is no GPU. From the environment:
#
#   DEBLURUNET_PART_LIMIT   seconds that one part may take, 540: what has not begun by then is noted as not run
#   DEBLURUNET_LIMIT        seconds that one program may take, 240
#   DEBLURUNET_JOBS         tests at a time, 6; the GPU's own tests only, nothing that is timed
#   DEBLURUNET_RESULTS      a folder in the place of results/
#   DEBLURUNET_WEIGHTS      the weights file, where the bundle was made without
#   DEBLURUNET_QUICK        options of bench-gpu: "--quick --base-width 2" to see that all of it runs
#   DEBLURUNET_CUDA_MODULE  a module in the place of the bundle's: an emulated one makes for a dry run
#   PYTHON                  with a PyTorch, python3
#
# What it needs from the machine: glibc 2.36, the driver, and of CUDA 13 and cuDNN 9 libcudart.so.13,
# libcublasLt.so.13, libcudnn.so.9 with the libraries that it opens, libnvrtc.so.13 among them, for engines that are
# compiled at run time: in the linker's path, in LD_LIBRARY_PATH, in /usr/local/cuda or among the packages of python3.
#
# SPDX-License-Identifier: LGPL-2.1-or-later
set -u
calling=$PWD
cd "$(dirname "$0")" || exit 1
here=$PWD
limit=${DEBLURUNET_LIMIT:-240}
part_limit=${DEBLURUNET_PART_LIMIT:-540}
jobs=${DEBLURUNET_JOBS:-6}
results=${DEBLURUNET_RESULTS:-results}
quick=${DEBLURUNET_QUICK:-}
case $results in /* | results) ;; *) results=$calling/$results ;; esac
mkdir -p "$results" || exit 1
results=$(cd "$results" && pwd)
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
weights=${DEBLURUNET_WEIGHTS:-$here/deblurunet.safetensors}
case $weights in /*) ;; *) weights=$calling/$weights ;; esac

# ---- the machine's libraries ---------------------------------------------------------------------------

python=
for candidate in "${PYTHON:-}" python3 /usr/bin/python3; do
  if [ -n "$candidate" ] && command -v "$candidate" >/dev/null 2>&1; then
    python=$candidate
    break
  fi
done

# Folders that may have libraries of CUDA.
folders () {
  echo "${LD_LIBRARY_PATH:-}" | tr : '\n'
  ldconfig -p 2>/dev/null | sed -n 's/.*=> \(.*\)\/libcud[^/]*$/\1/p; s/.*=> \(.*\)\/libcublas[^/]*$/\1/p'
  for folder in /usr/local/cuda/lib64 /usr/local/cuda/lib /usr/local/cuda*/targets/x86_64-linux/lib \
      /usr/local/nvidia/lib64 /usr/lib/x86_64-linux-gnu; do
    echo "$folder"
  done
  [ -z "$python" ] || "$python" -c '
import glob, sys
for folder in sys.path:
    print("\n".join(glob.glob(folder + "/nvidia/*/lib")))' 2>/dev/null
}

# The first folder of each library: one with all would be too much to ask.
path=$here/lib
for library in libcudart.so.13 libcublasLt.so.13 libcudnn.so.9 libnvrtc.so.13 libcuda.so.1; do
  found=$(folders | while read -r folder; do
    [ -n "$folder" ] && [ -e "$folder/$library" ] && echo "$folder" && break
  done)
  if [ -z "$found" ]; then
    echo "run.sh: $library is not found on this machine" >&2
  else
    case ":$path:" in *":$found:"*) ;; *) path=$path:$found ;; esac
  fi
done
ldconfig -p 2>/dev/null | grep -q 'libstdc++\.so\.6' || path=$path:$here/lib-fallback
machine_path=${LD_LIBRARY_PATH:-}

export DEBLURUNET_CUDA_MODULE="${DEBLURUNET_CUDA_MODULE:-$here/lib/libdeblurunet-cuda.so}"
export G_TEST_SRCDIR="$here" OMP_WAIT_POLICY=passive
# What is chosen while a sanitizer or another program slows the GPU is not for those after it, nor for this user.
export DEBLURUNET_CUDA_PLANS=0 XDG_CACHE_HOME="$here/cache"

# Ours alone: a python3 or an nvidia-smi with the bundle's libraries would not be the machine's.
bundled () {
  LD_LIBRARY_PATH=$path "$@"
}

# ---- results -----------------------------------------------------------------------------------------------

# note PART NAME VALUE
note () {
  printf '%s\t%s\n' "$2" "$3" >>"$results/$1.tsv"
}

# Seconds that the next program may take; fails where the part's time is up.
time_left () {
  left=$((part_end - $(date +%s)))
  [ "$left" -le "$limit" ] || left=$limit
  [ "$left" -gt 2 ]
}

# run_one PART NAME LOG TABLE COMMAND...: a program's standard output to TABLE, all else to LOG, and both to the part's
# log; notes what is no success. Its status, or 77 where there was no time for it.
run_one () {
  part=$1 name=$2 log=$3 table=$4
  shift 4
  if ! time_left; then
    note "$part" "$name" "not run: the part's time was up"
    return 77
  fi
  echo "== $name"
  timeout -k 10 "$left" "$@" >"$table" 2>"$log"
  status=$?
  { printf '\n== %s: %s: status %s\n' "$name" "$*" "$status"; cat "$log" "$table"; } >"$log.all"
  cat "$log.all" >>"$results/$part.log"
  case $status in
    0 | 77) ;;
    124 | 137) note "$part" "$name" "timed out after $left s" ;;
    *) note "$part" "$name" "failed, status $status: $(grep -a '[^ ]' "$log" "$table" -h | grep -a -v '^ok \|^#' |
      tail -n 1 | tr '\t' ' ' | cut -c 1-600)" ;;
  esac
  [ "$status" -eq 0 ] || [ "$status" -eq 77 ] || { echo "$name: status $status"; tail -n 5 "$log" "$table"; }
  return "$status"
}

# check PART NAME COMMAND...: a program that succeeds, is skipped (77), or fails.
check () {
  id=$(echo "$1 $2" | tr -c 'a-zA-Z0-9\n' _)
  part=$1 name=$2
  shift 2
  run_one "$part" "$name" "$scratch/$id.log" "$scratch/$id.out" env LD_LIBRARY_PATH="$path" "$@"
  case $? in
    0)
      skipped=$(grep -a -c '# SKIP' "$scratch/$id.out")
      if [ "$skipped" -eq 0 ]; then note "$part" "$name" ok; else note "$part" "$name" "ok, but $skipped skipped"; fi ;;
    77) [ "$left" -le 2 ] || note "$part" "$name" skipped ;;
  esac
}

# The same beside others: at most $jobs of them; each needs a wait for all in the end.
running=0
check_beside () {
  if [ "$running" -ge "$jobs" ]; then
    wait
    running=0
  fi
  check "$@" &
  running=$((running + 1))
}

# measure PART NAME COMMAND...: a program that prints lines of a name, a TAB and a value. What it has printed counts,
# whatever becomes of it.
measure () {
  part=$1 name=$2
  shift 2
  run_one "$part" "$name" "$scratch/measure.log" "$scratch/measure.tsv" "$@"
  # A last line may be cut.
  [ ! -f "$scratch/measure.tsv" ] || awk -F '\t' 'NF == 2' "$scratch/measure.tsv" | tee -a "$results/$part.tsv"
  rm -f "$scratch/measure.tsv"
}

write_json () {
  for part in machine tests bench training sanitizer torch precisions; do
    [ ! -f "$results/$part.tsv" ] || sed "s/^/$part	/" "$results/$part.tsv"
  done | awk -F '\t' '
    function quoted(text) {
      gsub(/[\\"\001-\037]/, " ", text) # how to escape them is not the same in all awks
      return "\"" text "\""
    }
    BEGIN { print "{" }
    $1 != part { printf "%s  %s: {", part == "" ? "" : "\n  },\n", quoted($1); part = $1; separator = "" }
    {
      number = $3 ~ /^-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?$/
      printf "%s\n    %s: %s", separator, quoted($2), number ? $3 : quoted($3)
      separator = ","
    }
    END { print part == "" ? "}" : "\n  }\n}" }' >"$results/results.json"
}

# ---- the parts -------------------------------------------------------------------------------------------

run_tests () {
  # What the kernels alone do, and the whole network, say most; then each of the back end's cases by itself, so that one
  # that fails hides no other.
  check_beside tests kernels bin/test-kernels-on-device
  check_beside tests network bin/test-network -p /network/pytorch/cuda
  check_beside tests device-frames bin/test-device-frames
  check_beside tests frame-kernels bin/test-frame-kernels-on-device
  check_beside tests pictures bin/test-pictures-on-device
  check_beside tests curve bin/test-cuda-curve
  for case in $(bundled bin/test-backend -l 2>/dev/null | grep '^/backend/cuda/'); do
    check_beside tests "${case#/}" bin/test-backend -p "$case"
  done
  wait
  running=0
  # Plans that one process chose give another one the same network.
  rm -rf cache
  for plans in chosen kept; do
    check tests "network, plans $plans" env DEBLURUNET_CUDA_PLANS=1 bin/test-network -p /network/pytorch/cuda
  done
  # What does not touch the GPU, to know that the bundle is whole.
  check tests reference bin/test-backend -p /backend/reference/f32/pool -p /backend/reference/f32/head
}

run_sanitizer () {
  if ! command -v compute-sanitizer >/dev/null && [ -x /usr/local/cuda/bin/compute-sanitizer ]; then
    PATH=$PATH:/usr/local/cuda/bin
  fi
  if ! command -v compute-sanitizer >/dev/null; then
    echo "run.sh: compute-sanitizer is not found: that part is skipped" >&2
    note sanitizer compute-sanitizer "not found"
    return
  fi
  # No racecheck: it looks at shared memory, of which no kernel here has any.
  for tool in memcheck initcheck; do
    for program in test-kernels-on-device test-frame-kernels-on-device test-pictures-on-device; do
      check_beside sanitizer "$tool/$program" compute-sanitizer --tool "$tool" --error-exitcode 9 "bin/$program"
    done
    for test in f32/pool f16/up bf16/head f32/loss f32/adam; do
      check_beside sanitizer "$tool/backend/$test" compute-sanitizer --tool "$tool" --error-exitcode 9 \
        bin/test-backend -p "/backend/cuda/$test"
    done
  done
  wait
  running=0
}

# figures PART NAME SECTION PRECISION [OPTION...]
figures () {
  part=$1 name=$2 section=$3 precision=$4
  shift 4
  measure "$part" "$name" env LD_LIBRARY_PATH="$path" DEBLURUNET_CUDA_PLANS="$plans" bin/bench-gpu $quick \
    --section "$section" --precision "$precision" --weights "$weights" "$@"
}

# The most video memory that a 1080p pipeline's worth of frames takes, beside what others take.
measure_memory () {
  before=$(nvidia-smi --query-gpu=memory.used --format=csv,noheader,nounits 2>/dev/null | head -n 1)
  [ -n "$before" ] && time_left || return
  timeout -k 10 "$left" env LD_LIBRARY_PATH="$path" DEBLURUNET_CUDA_PLANS="$plans" bin/bench-gpu $quick \
    --section frames --precision f16 --weights "$weights" >/dev/null 2>&1 &
  most=0
  while kill -0 $! 2>/dev/null; do
    now=$(nvidia-smi --query-gpu=memory.used --format=csv,noheader,nounits 2>/dev/null | head -n 1)
    [ "${now:-0}" -le "$most" ] || most=$now
    sleep 0.2
  done
  [ "$most" -eq 0 ] || note bench "frames/f16/video_memory_mib" $((most - before))
}

# Sections share what was chosen, but for the first frames: choosing takes longer than what is measured.
run_bench () {
  # From the second time on what the driver and cuDNN keep on disk is there.
  rm -rf cache
  plans=1 && figures bench "first-frame, nothing_cached" first-frame f16 --label nothing_cached
  plans=0 && figures bench "first-frame, without_cached_plans" first-frame f16 --label without_cached_plans
  plans=1 && figures bench "first-frame, with_cached_plans" first-frame f16 --label with_cached_plans
  rm -rf cache
  for section in forward frames flow precision rows; do
    figures bench "$section/f16" "$section" f16
  done
  measure_memory
  figures bench sub-batches/f16 sub-batches f16
}

run_training () {
  plans=1
  for precision in bf16 tf32 f32; do # in f16 it needs loss scaling, which there is not
    figures training "training/$precision" training "$precision"
    figures training "curve/$precision" curve "$precision"
  done
}

run_precisions () {
  plans=1
  for section in precision frames forward rows flow; do
    for precision in bf16 tf32 f32; do
      figures precisions "$section/$precision" "$section" "$precision"
    done
  done
}

run_torch () {
  if [ -z "$python" ] || ! timeout 120 "$python" -c 'import torch; assert torch.cuda.is_available()' \
      2>"$results/torch.log"; then
    echo "run.sh: no python3 here has a PyTorch with CUDA: that part is skipped" >&2
    note torch pytorch "not found"
    return
  fi
  for mode in eager training compile; do
    measure torch "$mode" env LD_LIBRARY_PATH="$machine_path" PYTHONUNBUFFERED=1 "$python" torch-gpu.py "$mode"
  done
}

device=$(LD_LIBRARY_PATH=$path timeout -k 10 "$limit" bin/bench-gpu --section device 2>"$results/device.log")
status=$?
cat "$results/device.log" >&2
if [ "$status" -ne 0 ]; then
  case $status in
    77) echo "run.sh: skipped: no GPU of NVIDIA's can be used here" >&2 ;;
    *) echo "run.sh: opening the GPU ended with status $status" >&2 ;;
  esac
  exit "$status"
fi
: >"$results/machine.tsv"
note machine device "$device"
note machine driver "$(nvidia-smi --query-gpu=driver_version --format=csv,noheader 2>/dev/null | head -n 1)"
note machine system "$(uname -sr), $(getconf GNU_LIBC_VERSION 2>/dev/null), $(nproc) processors"
note machine libraries "$path"
note machine version "$(cat version 2>/dev/null)"

for part in "$@"; do
  case $part in
    tests | bench | training | sanitizer | torch | precisions) ;;
    *) echo "run.sh: there is no part '$part'" >&2; exit 2 ;;
  esac
done
failed=0
for each in ${*:-tests bench training sanitizer torch precisions}; do
  rm -f "$results/$each.tsv" "$results/$each.log"
  begun=$(date +%s)
  part_end=$((begun + part_limit))
  "run_$each"
  note "$each" part_seconds $(($(date +%s) - begun))
  write_json
  # What others' programs do is no test of ours.
  [ "$each" = torch ] || ! grep -q '	\(failed\|timed out\|not run\)' "$results/$each.tsv" || failed=1
done
echo "$results/results.json: $device"
exit "$failed"
