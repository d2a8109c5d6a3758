#!/bin/sh
# All that is to be seen on a GPU, on a machine with an NVIDIA driver and cuDNN, from the bundle that
# tests/gpu/bundle.sh made and in whose folder this stands: sh run.sh [PART...]
#
#   tests      the back end, the kernels and the whole network on the device against the CPU
#   sanitizer  compute-sanitizer over the small ones: memcheck, racecheck, initcheck
#   bench      the figures of bench-gpu: tiles, rows, frames, first frame, precision, training, a short one
#   torch      PyTorch's on the same network, where python3 has it
#
# All four without a PART. Writes results/PART.tsv, results/PART.log, and results.json of all parts run so far.
# Ends with 0, with 1 where a test failed, or with 77 where there is no GPU. From the environment:
#
#   DEBLURUNET_LIMIT        seconds that one program may take, 240
#   DEBLURUNET_QUICK        options of bench-gpu: "--quick --base-width 2" to see that all of it runs
#   DEBLURUNET_CUDA_MODULE  a module in the place of the bundle's: an emulated one makes for a dry run
#   PYTHON                  with a PyTorch, python3
#
# What it needs from the machine: glibc 2.36, the driver, and of CUDA 13 and cuDNN 9 libcudart.so.13,
# libcublasLt.so.13, libcudnn.so.9 with the libraries it opens: in the linker's path, in LD_LIBRARY_PATH, in
# /usr/local/cuda or among the packages of python3.
#
# SPDX-License-Identifier: LGPL-2.1-or-later
set -u
cd "$(dirname "$0")" || exit 1
here=$PWD
limit=${DEBLURUNET_LIMIT:-240}
quick=${DEBLURUNET_QUICK:-}
failed=0
mkdir -p results

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
for library in libcudart.so.13 libcublasLt.so.13 libcudnn.so.9 libcuda.so.1; do
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
  printf '%s\t%s\n' "$2" "$3" >>"results/$1.tsv"
}

# check PART NAME COMMAND...: a program that succeeds, is skipped (77), or fails.
check () {
  part=$1 name=$2
  shift 2
  echo "== $name"
  printf '\n== %s: %s\n' "$name" "$*" >>"results/$part.log"
  LD_LIBRARY_PATH=$path timeout "$limit" "$@" >"results/last.log" 2>&1
  status=$?
  cat results/last.log >>"results/$part.log"
  case $status in
    0) note "$part" "$name" ok ;;
    77) note "$part" "$name" skipped ;;
    124) note "$part" "$name" "timed out after $limit s"; failed=1 ;;
    *) note "$part" "$name" "failed, status $status"; failed=1; tail -n 5 results/last.log ;;
  esac
}

# measure PART NAME COMMAND...: a program that prints lines of a name, a TAB and a value.
measure () {
  part=$1 name=$2
  shift 2
  echo "== $name"
  printf '\n== %s: %s\n' "$name" "$*" >>"results/$part.log"
  timeout "$limit" "$@" >results/last.tsv 2>results/last.log
  status=$?
  cat results/last.log results/last.tsv >>"results/$part.log"
  # A last line may be cut.
  awk -F '\t' 'NF == 2' results/last.tsv | tee -a "results/$part.tsv"
  if [ "$status" -ne 0 ] && [ "$status" -ne 77 ]; then
    note "$part" "$name" "failed, status $status"
    # What others' programs do is no test of ours.
    [ "$part" = torch ] || failed=1
    tail -n 5 results/last.log
  fi
}

write_json () {
  for part in machine tests sanitizer bench torch; do
    [ ! -f "results/$part.tsv" ] || sed "s/^/$part	/" "results/$part.tsv"
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
    END { print part == "" ? "}" : "\n  }\n}" }' >results.json
}

# ---- the parts -------------------------------------------------------------------------------------------

run_tests () {
  for kind in f32 tf32 bf16 f16; do
    check tests "backend/$kind" bin/test-backend -p "/backend/cuda/$kind"
  done
  check tests network bin/test-network -p /network/pytorch/cuda
  # Plans that one process chose give another one the same network.
  rm -rf cache
  for plans in chosen kept; do
    check tests "network, plans $plans" env DEBLURUNET_CUDA_PLANS=1 bin/test-network -p /network/pytorch/cuda
  done
  check tests curve bin/test-cuda-curve
  check tests device-frames bin/test-device-frames
  check tests kernels bin/test-kernels-on-device
  check tests frame-kernels bin/test-frame-kernels-on-device
  check tests pictures bin/test-pictures-on-device
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
  for tool in memcheck racecheck initcheck; do
    for program in test-kernels-on-device test-frame-kernels-on-device test-pictures-on-device; do
      check sanitizer "$tool/$program" compute-sanitizer --tool "$tool" --error-exitcode 9 "bin/$program"
    done
    for test in f32/pool f16/up bf16/head f32/loss f32/adam; do
      check sanitizer "$tool/backend/$test" compute-sanitizer --tool "$tool" --error-exitcode 9 \
        bin/test-backend -p "/backend/cuda/$test"
    done
  done
}

# figures NAME SECTION PRECISION [OPTION...]
figures () {
  name=$1 section=$2 precision=$3
  shift 3
  measure bench "$name" env LD_LIBRARY_PATH="$path" bin/bench-gpu $quick --section "$section" \
    --precision "$precision" --weights "$here/deblurunet.safetensors" "$@"
}

# first_frame LABEL PLANS: the time from a program's start, with plans on disk or (0) without.
first_frame () {
  DEBLURUNET_CUDA_PLANS=$2
  figures "first-frame, $1" first-frame f16 --label "$1"
  DEBLURUNET_CUDA_PLANS=0
}

run_bench () {
  # From the second time on what the driver and cuDNN keep on disk is there.
  rm -rf cache
  first_frame nothing_cached 1
  first_frame without_cached_plans 0
  first_frame with_cached_plans 1
  for section in precision forward sub-batches rows frames flow training curve; do
    for precision in f32 tf32 bf16 f16; do
      # Training in f16 needs loss scaling, which there is not.
      case $section/$precision in training/f16 | curve/f16) continue ;; esac
      figures "$section/$precision" "$section" "$precision"
    done
  done
  # What a 1080p pipeline's worth of it takes, beside what others take.
  before=$(nvidia-smi --query-gpu=memory.used --format=csv,noheader,nounits 2>/dev/null | head -n 1)
  env LD_LIBRARY_PATH="$path" bin/bench-gpu $quick --section frames --precision f16 \
    --weights "$here/deblurunet.safetensors" >/dev/null 2>&1 &
  most=0
  while kill -0 $! 2>/dev/null; do
    now=$(nvidia-smi --query-gpu=memory.used --format=csv,noheader,nounits 2>/dev/null | head -n 1)
    [ "${now:-0}" -le "$most" ] || most=$now
    sleep 0.2
  done
  [ "$most" -eq 0 ] || note bench "frames/f16/video_memory_mib" $((most - ${before:-0}))
}

run_torch () {
  if [ -z "$python" ] || ! "$python" -c 'import torch; assert torch.cuda.is_available()' 2>/dev/null; then
    echo "run.sh: no python3 here has a PyTorch with CUDA: that part is skipped" >&2
    note torch pytorch "not found"
    return
  fi
  for mode in eager compile training; do
    measure torch "$mode" env LD_LIBRARY_PATH="$machine_path" "$python" torch-gpu.py "$mode"
  done
}

device=$(bundled bin/bench-gpu --section device 2>results/device.log)
status=$?
cat results/device.log >&2
if [ "$status" -ne 0 ]; then
  [ "$status" -eq 77 ] && echo "run.sh: skipped: no GPU of NVIDIA's can be used here" >&2
  exit "$status"
fi
: >results/machine.tsv
note machine device "$device"
note machine driver "$(nvidia-smi --query-gpu=driver_version --format=csv,noheader 2>/dev/null | head -n 1)"
note machine system "$(uname -sr), $(getconf GNU_LIBC_VERSION 2>/dev/null), $(nproc) processors"
note machine libraries "$path"
note machine version "$(cat version 2>/dev/null)"

for part in ${*:-tests sanitizer bench torch}; do
  case $part in
    tests | sanitizer | bench | torch) ;;
    *) echo "run.sh: there is no part '$part'" >&2; exit 2 ;;
  esac
  rm -f "results/$part.tsv" "results/$part.log"
  "run_$part"
  write_json
done
echo "results.json: $device"
exit "$failed"
