package docker

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/proposer/proposer/internal/testutil/e2e"
	"github.com/proposer/proposer/internal/testutil/filetree"
	"github.com/proposer/proposer/internal/testutil/scene"
)

// writeImages writes n images of scenes to a new folder and returns its path.
func writeImages(t *testing.T, n, width, height int) string {
	t.Helper()
	dir := t.TempDir()
	var scenes [10][]byte // repeated, because rendering takes longer than the search
	for i := range scenes {
		scenes[i] = scene.Render(uint64(i), width, height, 6).JPEG(90)
	}
	for i := range n {
		name := filepath.Join(dir, fmt.Sprintf("%c", 'a'+i%3), fmt.Sprintf("%03d.jpg", i))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, scenes[i%len(scenes)], 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// batchProgram returns the path of a bin/proposer that has the command batch.
func batchProgram(t *testing.T) string {
	t.Helper()
	program, err := filepath.Abs("../bin/proposer")
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), program, "batch", "--help").CombinedOutput(); err != nil {
		e2e.Missing(t, fmt.Sprintf("bin/proposer with the command batch is not built: run make build: %v %s", err, out))
	}
	return program
}

// run runs a program with additional environment variables and returns its standard output.
func run(t *testing.T, env []string, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Env = append(os.Environ(), env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, out, &stderr)
	}
	return strings.TrimSpace(string(out))
}

// checkSameResults checks that a batch wrote the same files as a complete single run, except the
// summaries, which contain times.
func checkSameResults(t *testing.T, dir, single string) {
	t.Helper()
	want := filetree.Read(t, single, "summary")
	if want["manifest.json"] == "" {
		t.Error("the single run wrote no manifest.json")
	}
	filetree.Equal(t, "batch", filetree.Read(t, dir, "summary"), want)
}

// slurmCluster is a Slurm cluster whose only node is this machine.
type slurmCluster struct {
	t    *testing.T
	dir  string   // all files of the cluster
	jobs string   // logs of the jobs
	env  []string // environment of the client commands
}

// freePorts returns two unused TCP ports.
func freePorts(t *testing.T) (ports [2]string) {
	t.Helper()
	for i := range ports {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close() // after both are chosen, so that they differ
		_, ports[i], _ = net.SplitHostPort(ln.Addr().String())
	}
	return ports
}

// startSlurm starts a cluster and stops it at the end of the test.
func startSlurm(t *testing.T, program string) *slurmCluster {
	t.Helper()
	e2e.Only(t, "starts a Slurm cluster")
	if os.Geteuid() != 0 {
		e2e.Missing(t, "slurmd requires root")
	}
	for _, p := range []string{"slurmctld", "slurmd", "munged"} {
		if _, err := os.Stat("/usr/sbin/" + p); err != nil {
			e2e.Missing(t, p+" is not installed: make e2e installs it")
		}
	}
	e2e.Program(t, "sbatch")
	dir, err := os.MkdirTemp("", "slurm") // the paths of t.TempDir are too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil { // munged requires it
		t.Fatal(err)
	}
	ports := freePorts(t)
	for _, name := range []string{"jobs", "bin"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(program, filepath.Join(dir, "bin/proposer")); err != nil {
		t.Fatal(err)
	}
	s := &slurmCluster{t, dir, filepath.Join(dir, "jobs"), []string{
		"PATH=" + filepath.Join(dir, "bin") + ":" + os.Getenv("PATH"),
		"SLURM_CONF=" + filepath.Join(dir, "slurm.conf"),
	}}
	// The cluster stops at the end of its standard input, even if this test is killed.
	cmd := exec.Command("sh", "slurm/one-node.sh", dir, "sh", "-c", "echo up; cat >/dev/null")
	cmd.Env = append(os.Environ(), "SLURMCTLD_PORT="+ports[0], "SLURMD_PORT="+ports[1])
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			s.logOutput()
		}
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("one-node.sh: %v\n%s", err, &stderr)
		}
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "up\n" {
		t.Fatalf("one-node.sh: got %q (error %v), want \"up\"", line, err)
	}
	return s
}

// run runs a client command of the cluster and returns its standard output.
func (s *slurmCluster) run(name string, args ...string) string {
	s.t.Helper()
	return run(s.t, s.env, name, args...)
}

// logOutput logs the output of the jobs and of the daemons.
func (s *slurmCluster) logOutput() {
	for _, pattern := range []string{"jobs/*.log", "*.out"} {
		names, _ := filepath.Glob(filepath.Join(s.dir, pattern))
		for _, name := range names {
			if text, err := os.ReadFile(name); err == nil && len(text) > 0 {
				s.t.Logf("%s:\n%s", filepath.Base(name), tail(string(text), 3000))
			}
		}
	}
}

// submit submits an array job and the merge job that depends on it, and returns their identifiers.
func (s *slurmCluster) submit(tasks, src, dest string, args ...string) (array, merge string) {
	s.t.Helper()
	// sbatch submits a script with resource requests that fit this machine.
	sbatch := func(options []string, script string, args ...string) string {
		s.t.Helper()
		path, err := filepath.Abs("slurm/" + script)
		if err != nil {
			s.t.Fatal(err)
		}
		options = append(options, "--parsable", "--chdir="+s.jobs, "--mem=1G", path)
		return s.run("sbatch", append(options, args...)...)
	}
	array = sbatch([]string{"--array=" + tasks, "--cpus-per-task=1"},
		"proposer.sbatch", append([]string{src, "--out", dest}, args...)...)
	merge = sbatch([]string{"--dependency=afterok:" + array}, "merge.sbatch", dest)
	return array, merge
}

// jobField returns a field of a job as scontrol prints it.
func (s *slurmCluster) jobField(job, field string) string {
	s.t.Helper()
	out := s.run("scontrol", "show", "job", job)
	m := regexp.MustCompile(`\b` + field + `=(\w+)`).FindStringSubmatch(out)
	if m == nil {
		s.t.Fatalf("job %s has no field %s:\n%s", job, field, out)
	}
	return m[1]
}

// waitFor waits until done returns true. It polls, because neither Slurm's client commands nor the
// files of a batch announce a change.
func (s *slurmCluster) waitFor(what string, done func() bool) {
	s.t.Helper()
	ctx := untilDeadline(s.t)
	poll := time.NewTicker(100 * time.Millisecond)
	defer poll.Stop()
	for !done() {
		select {
		case <-poll.C:
		case <-ctx.Done():
			s.t.Fatalf("waiting for %s: %v; squeue:\n%s", what, ctx.Err(), s.run("squeue"))
		}
	}
}

// waitForEnd waits for the end of a job and checks its final state.
func (s *slurmCluster) waitForEnd(job, want string) {
	s.t.Helper()
	var state string
	s.waitFor("the end of job "+job, func() bool {
		state = s.jobField(job, "JobState")
		return state != "PENDING" && state != "RUNNING" && state != "COMPLETING"
	})
	if state != want {
		s.t.Fatalf("job %s: got state %s, want %s", job, state, want)
	}
}

// listedProcess matches a line of `scontrol listpids` for a process of a job's step.
var listedProcess = regexp.MustCompile(`(?m)^(\d+) +\d+ +0 `)

// killProgram kills the program that runs in a job, without the job's other processes.
func (s *slurmCluster) killProgram(job, program string) {
	s.t.Helper()
	killed := 0
	for _, m := range listedProcess.FindAllStringSubmatch(s.run("scontrol", "listpids", s.jobField(job, "JobId")), -1) {
		pid, err := strconv.Atoi(m[1])
		if err != nil {
			s.t.Fatal(err)
		}
		if exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid)); err != nil || exe != program {
			continue // a process of srun
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			s.t.Fatal(err)
		}
		killed++
	}
	if killed != 1 {
		s.t.Fatalf("job %s: killed %d processes, want 1", job, killed)
	}
}

// TestSlurm checks that an array job whose tasks are killed, canceled, requeued and terminated
// writes the same files as a single run.
func TestSlurm(t *testing.T) {
	program := batchProgram(t)
	dir := t.TempDir() // before the cluster starts, so that it is removed after the cluster has stopped
	s := startSlurm(t, program)
	const tasks, count, shardSize = 3, 90, 2
	src := writeImages(t, count, 640, 480)
	options := []string{"--format=detectron2", "--mode=fast", "--max=100", "--shard-size=" + strconv.Itoa(shardSize)}
	dest, single := filepath.Join(dir, "boxes"), filepath.Join(dir, "single")

	// completed returns the number of shards that a task has written.
	completed := func(task int) (n int) {
		for shard := task; shard < count/shardSize; shard += tasks {
			if _, err := os.Stat(filepath.Join(dest, fmt.Sprintf("shards/%06d.json", shard))); err == nil {
				n++
			}
		}
		return n
	}
	// waitForShard waits until a task has written more than the given number of shards, but not all.
	waitForShard := func(task, before int) {
		t.Helper()
		s.waitFor(fmt.Sprint("a shard of task ", task), func() bool {
			n := completed(task)
			if n == count/shardSize/tasks {
				t.Fatalf("task %d completed before it could be interrupted: the test needs more images", task)
			}
			return n > before
		})
	}

	// A program that is killed, as by the kernel when memory runs out, fails its task.
	array, merge := s.submit(fmt.Sprint("0-", tasks-1), src, dest, options...)
	waitForShard(1, 0) // task 1 resumes from here below
	waitForShard(0, 0)
	s.killProgram(array+"_0", program)
	s.waitForEnd(array+"_0", "FAILED")

	// Canceled tasks are not requeued, although the program exits as it does at the time limit. The
	// merge is canceled because the array did not succeed.
	s.run("scancel", array)
	s.waitForEnd(array+"_1", "CANCELLED")
	s.waitForEnd(array+"_2", "CANCELLED")
	s.waitForEnd(merge, "CANCELLED")
	s.waitFor("an empty queue", func() bool { return s.run("squeue", "--noheader") == "" })
	if _, err := os.Stat(filepath.Join(dest, "manifest.json")); err == nil {
		t.Error("got manifest.json after a canceled run, want none")
	}

	// The same submission resumes. An operator requeues task 0, and task 1 gets the signal of the
	// time limit.
	before := [2]int{completed(0), completed(1)}
	array, merge = s.submit(fmt.Sprint("0-", tasks-1), src, dest, options...)
	waitForShard(0, before[0])
	s.run("scontrol", "requeue", array+"_0")
	waitForShard(1, before[1])
	s.run("scancel", "--signal=TERM", array+"_1")
	s.waitForEnd(merge, "COMPLETED")
	for task, want := range []struct {
		restarts string
		resumed  int
	}{{"1", 2}, {"1", 2}, {"0", 0}} {
		job := fmt.Sprint(array, "_", task)
		s.waitForEnd(job, "COMPLETED")
		restarts := s.jobField(job, "Restarts")
		t.Run(fmt.Sprint("task ", task), func(t *testing.T) {
			if restarts != want.restarts {
				t.Errorf("got %s restarts, want %s", restarts, want.restarts)
			}
			if want.resumed == 0 {
				return
			}
			log := read(t, filepath.Join(s.jobs, fmt.Sprintf("proposer-%s_%d.log", array, task)))
			if n := strings.Count(log, "images are done already"); n != want.resumed {
				t.Errorf("resumed %d times, want %d:\n%s", n, want.resumed, log)
			}
		})
	}

	// An array with a missing task does not say what its tasks were: every one refuses.
	array, _ = s.submit("0,2", src, filepath.Join(dir, "irregular"), options...)
	for _, task := range []string{"_0", "_2"} {
		s.waitForEnd(array+task, "FAILED")
		log := read(t, filepath.Join(s.jobs, "proposer-"+array+task+".log"))
		if !strings.Contains(log, "some are missing: set PROPOSER_SHARDS") {
			t.Errorf("task %s: got log\n%s", task, log)
		}
	}

	run(t, nil, program, append([]string{"batch", src, "--out", single}, options...)...)
	checkSameResults(t, dest, single)
}
