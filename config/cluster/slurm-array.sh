#!/bin/sh
# A Slurm array: sbatch slurm-array.sh. 16 tasks, each of which sharpens its part of one folder.
#SBATCH --job-name=sharpend
#SBATCH --array=0-15
#SBATCH --cpus-per-task=4
#SBATCH --mem=8G
#SBATCH --signal=B:TERM@60

# At the time limit Slurm signals this shell, which passes it on: images in progress end first.
trap 'kill -TERM "$pid"' TERM
sharpend once --input /data/images --output /data/sharp --state "/var/tmp/sharpend-$USER" \
    --workers "$SLURM_CPUS_PER_TASK" --shard "$SLURM_ARRAY_TASK_ID/16" &
pid=$!
wait "$pid"
status=$?
while kill -0 "$pid" 2>/dev/null; do
    wait "$pid"
    status=$?
done
[ "$status" -eq 65 ] || exit "$status" # 65: some images are in quarantine, all others done
