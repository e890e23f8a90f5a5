#!/bin/sh
# one-node.sh FOLDER COMMAND...: runs COMMAND with a Slurm of its own on this machine, one node of
# CPUS processors (2), whose files are in FOLDER, and ends that with it. It is to try
# proposer.sbatch, and for its test:
#   docker/slurm/one-node.sh /tmp/slurm sh
# Debian's slurm-wlm and munge have what it needs; root has to run it. Its ports are
# SLURMCTLD_PORT and SLURMD_PORT, 6817 and 6818 unless set.
set -eu
[ $# -ge 2 ] || { echo "usage: one-node.sh FOLDER COMMAND..." >&2; exit 2; }
[ "$(id -u)" = 0 ] || { echo "one-node.sh: slurmd has to be root" >&2; exit 1; }
PATH=$PATH:/usr/sbin
mkdir -p "$1"
folder=$(cd "$1" && pwd)
shift
host=$(hostname -s)
mkdir -p "$folder/state" "$folder/spool"
# munged wants a folder that others may pass but not write to.
mkdir -p -m 0755 "$folder/munge"
(umask 077 && head -c 128 /dev/urandom >"$folder/munge/key")

cat >"$folder/slurm.conf" <<END
ClusterName=one
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=${SLURMCTLD_PORT:-6817}
SlurmdPort=${SLURMD_PORT:-6818}
SlurmUser=root
# How long a job that is requeued waits is the credentials' to say.
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
# No cgroups: a container may not make any.
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
alive() { # whether all three are, or none has been started yet
	for pid in $munged $slurmctld $slurmd; do
		kill -0 "$pid" 2>/dev/null || return 1
	done
}
stop() {
	trap - EXIT
	if alive; then # else who asks would wait for an answer
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
