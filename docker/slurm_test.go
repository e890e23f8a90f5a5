package docker

import (
	"bufio"
	"bytes"
	"fmt"
	"io/fs"
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
	"github.com/proposer/proposer/internal/testutil/scene"
)

// pictures are a folder of scenes.
func pictures(t *testing.T, n, width, height int) string {
	t.Helper()
	dir := t.TempDir()
	var scenes [10][]byte // to draw takes longer than to search
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

// batcher is a bin/proposer that has batch.
func batcher(t *testing.T) string {
	t.Helper()
	program, err := filepath.Abs("../bin/proposer")
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), program, "batch", "--help").CombinedOutput(); err != nil {
		e2e.Missing(t, fmt.Sprintf("there is no bin/proposer with batch: make build makes it: %v %s", err, out))
	}
	return program
}

// run is what a program prints.
func run(t *testing.T, env []string, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Env = append(os.Environ(), env...)
	var problems bytes.Buffer
	cmd.Stderr = &problems
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, out, &problems)
	}
	return strings.TrimSpace(string(out))
}

// results are a batch's files, but for what tells of times.
func results(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	if err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && !strings.HasPrefix(d.Name(), "summary") {
			all[strings.TrimPrefix(name, dir)] = read(t, name)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

func same(t *testing.T, got, want map[string]string) {
	t.Helper()
	for name := range want {
		if text, ok := got[name]; !ok || text != want[name] {
			t.Errorf("%s: there: %v; %d bytes, want %d\n%.200q\n%.200q", name, ok, len(text), len(want[name]), text, want[name])
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s is there, and not after a single run", name)
		}
	}
	if want["/manifest.json"] == "" {
		t.Error("the single run is not complete")
	}
}

// slurm is a cluster of this machine.
type slurm struct {
	t    *testing.T
	dir  string   // where all its files are
	jobs string   // where the jobs' logs go
	env  []string // of who asks it
}

// freePorts are two that nobody listens on.
func freePorts(t *testing.T) (ports [2]string) {
	t.Helper()
	for i := range ports {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close() // once both are known, so that they differ
		_, ports[i], _ = net.SplitHostPort(ln.Addr().String())
	}
	return ports
}

// cluster starts one, which ends with the test.
func cluster(t *testing.T, program string) *slurm {
	t.Helper()
	e2e.Only(t, "starts a Slurm cluster")
	if os.Geteuid() != 0 {
		e2e.Missing(t, "slurmd has to be root")
	}
	for _, p := range []string{"slurmctld", "slurmd", "munged"} {
		if _, err := os.Stat("/usr/sbin/" + p); err != nil {
			e2e.Missing(t, p+" is not installed: make e2e installs it")
		}
	}
	e2e.Program(t, "sbatch")
	dir, err := os.MkdirTemp("", "slurm") // t.TempDir's is too long for a socket's name
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil { // as munged wants it
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
	s := &slurm{t, dir, filepath.Join(dir, "jobs"), []string{
		"PATH=" + filepath.Join(dir, "bin") + ":" + os.Getenv("PATH"),
		"SLURM_CONF=" + filepath.Join(dir, "slurm.conf"),
	}}
	// It ends when its standard input does: also if this test is killed.
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
	var problems bytes.Buffer
	cmd.Stderr = &problems
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			s.tell()
		}
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("one-node.sh: %v\n%s", err, &problems)
		}
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "up\n" {
		t.Fatalf("one-node.sh: %q, %v", line, err)
	}
	return s
}

func (s *slurm) run(name string, args ...string) string {
	s.t.Helper()
	return run(s.t, s.env, name, args...)
}

// tell shows what jobs and daemons wrote.
func (s *slurm) tell() {
	for _, pattern := range []string{"jobs/*.log", "*.out"} {
		names, _ := filepath.Glob(filepath.Join(s.dir, pattern))
		for _, name := range names {
			if text, err := os.ReadFile(name); err == nil && len(text) > 0 {
				s.t.Logf("%s:\n%s", filepath.Base(name), tail(string(text), 3000))
			}
		}
	}
}

// submit submits the array, and the merge after it.
func (s *slurm) submit(tasks int, src, dest string, args ...string) (array, merge string) {
	s.t.Helper()
	// The sizes are this machine's, and not those of a cluster.
	own := func(script string, more ...string) []string {
		path, err := filepath.Abs("slurm/" + script)
		if err != nil {
			s.t.Fatal(err)
		}
		return append([]string{"--parsable", "--chdir=" + s.jobs, "--mem=1G"}, append(more, path)...)
	}
	array = s.run("sbatch", append(own("proposer.sbatch", fmt.Sprintf("--array=0-%d", tasks-1), "--cpus-per-task=1"), append([]string{src, "--out", dest}, args...)...)...)
	merge = s.run("sbatch", append(own("merge.sbatch", "--dependency=afterok:"+array), dest)...)
	return array, merge
}

// tells is a field of a job.
func (s *slurm) tells(job, field string) string {
	s.t.Helper()
	about := s.run("scontrol", "show", "job", job)
	m := regexp.MustCompile(`\b` + field + `=(\w+)`).FindStringSubmatch(about)
	if m == nil {
		s.t.Fatalf("job %s has no %s:\n%s", job, field, about)
	}
	return m[1]
}

// until waits for something.
func (s *slurm) until(what string, is func() bool) {
	s.t.Helper()
	for end := time.Now().Add(3 * time.Minute); !is(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatalf("%s: it has not come; there is\n%s", what, s.run("squeue"))
		}
	}
}

func (s *slurm) ends(job, want string) {
	s.t.Helper()
	var state string
	s.until("the end of "+job, func() bool {
		state = s.tells(job, "JobState")
		return state != "PENDING" && state != "RUNNING" && state != "COMPLETING"
	})
	if state != want {
		s.t.Fatalf("%s is %s, want %s", job, state, want)
	}
}

// processes are those of a job's steps, a line each.
var processes = regexp.MustCompile(`(?m)^(\d+) +\d+ +0 `)

// An array whose tasks are killed in the ways there are makes what a single run does.
func TestSlurm(t *testing.T) {
	program, dir := batcher(t), t.TempDir() // before the cluster, so that it is removed after its end
	s := cluster(t, program)
	const tasks, count, shardSize = 3, 90, 2
	src := pictures(t, count, 640, 480)
	options := []string{"--format=detectron2", "--mode=fast", "--max=100", "--shard-size=" + strconv.Itoa(shardSize)}
	dest, single := filepath.Join(dir, "boxes"), filepath.Join(dir, "single")
	// done are a task's shards that are.
	done := func(task int) (n int) {
		for shard := task; shard < count/shardSize; shard += tasks {
			if _, err := os.Stat(filepath.Join(dest, fmt.Sprintf("shards/%06d.json", shard))); err == nil {
				n++
			}
		}
		return n
	}
	progress := func(task, from int) {
		t.Helper()
		s.until(fmt.Sprint("a shard of task ", task), func() bool {
			n := done(task)
			if n == count/shardSize/tasks {
				t.Fatalf("task %d is done before anything could happen to it: the test wants more pictures", task)
			}
			return n > from
		})
	}

	// A program that is killed, as for its memory, is a task that failed, and the merge is dropped.
	array, merge := s.submit(tasks, src, dest, options...)
	progress(1, 0) // it goes on twice below
	progress(0, 0)
	killed := 0
	for _, m := range processes.FindAllStringSubmatch(s.run("scontrol", "listpids", s.tells(array+"_0", "JobId")), -1) {
		pid, err := strconv.Atoi(m[1])
		if err != nil {
			t.Fatal(err)
		}
		if exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid)); err != nil || exe != program {
			continue // srun's
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		killed++
	}
	if killed != 1 {
		t.Fatalf("%d programs were killed", killed)
	}
	s.ends(array+"_0", "FAILED")
	// Who cancels the rest means it, though the program ends as it does when its time is over.
	s.run("scancel", array)
	s.ends(array+"_1", "CANCELLED")
	s.ends(array+"_2", "CANCELLED")
	s.ends(merge, "CANCELLED")
	s.until("an empty queue", func() bool { return s.run("squeue", "--noheader") == "" })
	if _, err := os.Stat(filepath.Join(dest, "manifest.json")); err == nil {
		t.Error("it is said to be complete")
	}

	// The same again goes on. One is requeued by whoever operates the cluster, another is told that
	// its time is over.
	before := [2]int{done(0), done(1)}
	array, merge = s.submit(tasks, src, dest, options...)
	progress(0, before[0])
	s.run("scontrol", "requeue", array+"_0")
	progress(1, before[1])
	s.run("scancel", "--signal=TERM", array+"_1")
	s.ends(merge, "COMPLETED")
	for task := range tasks {
		s.ends(fmt.Sprint(array, "_", task), "COMPLETED")
		if restarts := s.tells(fmt.Sprint(array, "_", task), "Restarts"); (restarts == "1") != (task < 2) {
			t.Errorf("task %d was restarted %s times", task, restarts)
		}
	}
	for task := range 2 {
		if log := read(t, filepath.Join(s.jobs, fmt.Sprintf("proposer-%s_%d.log", array, task))); strings.Count(log, "images are done already") != 2 {
			t.Errorf("task %d did not go on twice from where it was:\n%s", task, log)
		}
	}

	run(t, nil, program, append([]string{"batch", src, "--out", single}, options...)...)
	same(t, results(t, dest), results(t, single))
}
