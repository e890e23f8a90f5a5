#!/bin/sh
# one-node.sh FOLDER COMMAND...: runs COMMAND with a private single-node Slurm of $CPUS processors
# (default 2) whose files are in FOLDER, and stops Slurm afterward. Use it to try or to test
# proposer.sbatch:
#   docker/slurm/one-node.sh /tmp/slurm sh
# It needs Debian's slurm-wlm and munge, and must run as root. SLURMCTLD_PORT and SLURMD_PORT set its
# ports (default 6817 and 6818).
set -eu
[ $# -ge 2 ] || { echo "usage: one-node.sh FOLDER COMMAND..." >&2; exit 64; }
[ "$(id -u)" = 0 ] || { echo "one-node.sh: slurmd must run as root" >&2; exit 1; }
PATH=$PATH:/usr/sbin
mkdir -p "$1"
folder=$(cd "$1" && pwd)
shift
host=$(hostname -s)
mkdir -p "$folder/state" "$folder/spool"
# munged requires a folder that others can traverse but not write.
mkdir -p -m 0755 "$folder/munge"
(umask 077 && head -c 128 /dev/urandom >"$folder/munge/key")

cat >"$folder/slurm.conf" <<END
ClusterName=one
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=${SLURMCTLD_PORT:-6817}
SlurmdPort=${SLURMD_PORT:-6818}
SlurmUser=root
# The lifetime of credentials determines how long a requeued job waits.
AuthType=auth/munge
AuthInfo=socket=$folder/munge/socket,cred_expire=5
CredType=cred/munge
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
SchedulerParameters=sched_interval=1,batch_sched_delay=1
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
# Without cgroups, which containers cannot create.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
ReturnToService=2
KillWait=5
MinJobAge=3600
NodeName=$host NodeAddr=127.0.0.1 CPUs=${CPUS:-2} RealMemory=$(awk '/^MemTotal/ { print int($2 / 1024) }' /proc/meminfo) State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES State=UP
END
export SLURM_CONF="$folder/slurm.conf"

munged= slurmctld= slurmd=
alive() { # whether all started daemons are running
	for pid in $munged $slurmctld $slurmd; do
		kill -0 "$pid" 2>/dev/null || return 1
	done
}
stop() {
	trap - EXIT
	if alive; then # otherwise the commands would hang
		timeout 10 scancel --quiet --user=root 2>/dev/null || :
		i=0
		while [ $i -lt 100 ] && timeout 10 squeue --noheader 2>/dev/null | grep -q .; do
			sleep 0.1
			i=$((i + 1))
		done
	fi
	for pid in $slurmd $slurmctld $munged; do
		kill "$pid" 2>/dev/null || :
		wait "$pid" 2>/dev/null || :
	done
}
trap stop EXIT
trap 'exit 143' TERM INT HUP

munged --foreground --force --key-file="$folder/munge/key" --socket="$folder/munge/socket" --num-threads=2 \
	--pid-file="$folder/munge/pid" --seed-file="$folder/munge/seed" --log-file="$folder/munge/log" </dev/null >"$folder/munged.out" 2>&1 &
munged=$!
slurmctld -D -c </dev/null >"$folder/slurmctld.out" 2>&1 &
slurmctld=$!
slurmd -D -c </dev/null >"$folder/slurmd.out" 2>&1 &
slurmd=$!

i=0
until timeout 5 sinfo --noheader --format=%t 2>/dev/null | grep -q '^idle$'; do
	i=$((i + 1))
	if ! alive || [ $i -ge 100 ]; then
		echo "one-node.sh: no cluster has come up" >&2
		tail -n 20 "$folder"/*.out >&2
		exit 1
	fi
	sleep 0.2
done
"$@"
