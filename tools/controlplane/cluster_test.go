// Package controlplane contains only tests, which apply the files of docker/ to a Kubernetes control
// plane: etcd, kube-apiserver and kube-controller-manager. No kubelet runs, so the tests set the status
// of pods. `make e2e-kubernetes` builds the programs and runs the tests.
package controlplane

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

const (
	root    = "../../" // the repository
	bin     = root + "bin/controlplane/"
	timeout = 2 * time.Minute // for a controller that does not do what a test waits for
)

// The control plane that all tests share.
var (
	config *rest.Config
	client *kubernetes.Clientset
)

// The main goroutine stays on the main thread: Pdeathsig kills a process when the thread that started
// it ends.
func init() { runtime.LockOSThread() }

func TestMain(m *testing.M) { os.Exit(run(m)) }

// run starts the control plane, runs the tests and stops it.
func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "controlplane")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	c := controlPlane{dir: dir}
	code := 1
	if err := c.start(); err != nil {
		fmt.Fprintln(os.Stderr, err)
	} else {
		code = m.Run()
	}
	c.stop()
	if code != 0 {
		c.printLogs()
	}
	return code
}

// controlPlane has the processes in the order of their start.
type controlPlane struct {
	dir       string
	processes []*process
}

type process struct {
	name string
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
}

// start starts the programs and sets config and client.
func (c *controlPlane) start() error {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	const password = "administrator"
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	keyFile, tokenFile := filepath.Join(c.dir, "service-accounts.key"), filepath.Join(c.dir, "tokens.csv")
	if err := errors.Join(
		os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), 0o600),
		os.WriteFile(tokenFile, []byte(password+",admin,admin,system:masters\n"), 0o600),
	); err != nil {
		return err
	}

	err = c.run("etcd",
		"--data-dir="+filepath.Join(c.dir, "etcd"),
		"--logger=zap",
		"--listen-client-urls=http://127.0.0.1:0",
		"--advertise-client-urls=http://127.0.0.1:0",
		"--listen-peer-urls=http://127.0.0.1:0")
	if err != nil {
		return err
	}
	var etcd string
	if err := c.untilLogged(ctx, "etcd", func(line string) bool {
		if !strings.Contains(line, "serving client traffic") {
			return false
		}
		_, address, _ := strings.Cut(line, `"address":"`)
		etcd, _, _ = strings.Cut(address, `"`)
		return etcd != ""
	}); err != nil {
		return err
	}

	port, release, err := reservePort()
	if err != nil {
		return err
	}
	defer release()
	err = c.run("kube-apiserver",
		"--etcd-servers=http://"+etcd,
		"--bind-address=127.0.0.1",
		"--advertise-address=127.0.0.1",
		"--endpoint-reconciler-type=none",
		fmt.Sprint("--secure-port=", port),
		"--permit-port-sharing",
		"--cert-dir="+c.dir, // it generates its certificate there
		"--service-cluster-ip-range=10.96.0.0/16",
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file="+keyFile,
		"--service-account-signing-key-file="+keyFile,
		"--token-auth-file="+tokenFile,
		"--authorization-mode=RBAC",
		"--allow-privileged", // so that the Pod Security Standard is what refuses it
		"--anonymous-auth=false",
		"--v=1")
	if err != nil {
		return err
	}
	config = &rest.Config{
		Host:            fmt.Sprint("https://127.0.0.1:", port),
		BearerToken:     password,
		TLSClientConfig: rest.TLSClientConfig{CAFile: filepath.Join(c.dir, "apiserver.crt")},
		QPS:             -1, // no limit
	}
	if err := c.poll(ctx, func() bool {
		if _, err := os.Stat(config.CAFile); err != nil {
			return false
		}
		if client, err = kubernetes.NewForConfig(config); err != nil {
			return false
		}
		_, err = client.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
		return err == nil
	}); err != nil {
		return fmt.Errorf("kube-apiserver is not ready: %w", err)
	}

	kubeconfig := filepath.Join(c.dir, "kubeconfig")
	if err := writeKubeconfig(kubeconfig, metav1.NamespaceDefault); err != nil {
		return err
	}
	return c.run("kube-controller-manager",
		"--kubeconfig="+kubeconfig,
		"--secure-port=0",
		"--leader-elect=false",
		"--controllers=*,-node-lifecycle-controller", // no kubelet reports that a node is alive
		"--service-account-private-key-file="+keyFile,
		"--kube-api-qps=1000", "--kube-api-burst=1000",
		"--horizontal-pod-autoscaler-sync-period=1s")
}

// run starts a program, which writes its log to a file.
func (c *controlPlane) run(name string, args ...string) error {
	path, err := exec.LookPath(name)
	if name != "etcd" {
		path, err = filepath.Abs(bin + name)
	}
	if err != nil {
		return err
	}
	log, err := os.Create(c.log(name))
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(path, args...)
	cmd.Dir = c.dir
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("%w: make e2e-kubernetes builds it", err)
	}
	p := &process{name, cmd, make(chan struct{})}
	go func() { _ = cmd.Wait(); close(p.done) }()
	c.processes = append(c.processes, p)
	return nil
}

func (c *controlPlane) log(name string) string { return filepath.Join(c.dir, name+".log") }

// poll waits until ready returns true. It fails if a process ends.
func (c *controlPlane) poll(ctx context.Context, ready func() bool) error {
	return wait.PollUntilContextCancel(ctx, 50*time.Millisecond, true, func(context.Context) (bool, error) {
		for _, p := range c.processes {
			select {
			case <-p.done:
				return false, fmt.Errorf("%s ended: %v", p.name, p.cmd.ProcessState)
			default:
			}
		}
		return ready(), nil
	})
}

// untilLogged waits until match accepts a line of the log of a program.
func (c *controlPlane) untilLogged(ctx context.Context, name string, match func(line string) bool) error {
	err := c.poll(ctx, func() bool {
		data, err := os.ReadFile(c.log(name))
		if err != nil {
			return false
		}
		for s := bufio.NewScanner(bytes.NewReader(data)); s.Scan(); {
			if match(s.Text()) {
				return true
			}
		}
		return false
	})
	if err != nil {
		return fmt.Errorf("%s is not ready: %w", name, err)
	}
	return nil
}

// stop ends the processes, the last one first.
func (c *controlPlane) stop() {
	for i := len(c.processes) - 1; i >= 0; i-- {
		// Nothing is kept, so nothing needs to be completed.
		_ = c.processes[i].cmd.Process.Kill()
		<-c.processes[i].done
	}
}

// printLogs prints the end of the logs.
func (c *controlPlane) printLogs() {
	const size = 4000
	for _, p := range c.processes {
		data, err := os.ReadFile(c.log(p.name))
		fmt.Fprintf(os.Stderr, "== %s (%v, %v)\n%s\n", p.name, p.cmd.ProcessState, err, data[max(0, len(data)-size):])
	}
}

// reservePort returns a free port of 127.0.0.1. Until release is called nobody gets it except a
// program that shares ports.
func reservePort() (port int, release func(), err error) {
	const reusePort = 0xf // SO_REUSEPORT
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, nil, err
	}
	err = errors.Join(
		syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, reusePort, 1),
		syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	address, nameErr := syscall.Getsockname(fd)
	if err = errors.Join(err, nameErr); err != nil {
		_ = syscall.Close(fd)
		return 0, nil, err
	}
	return address.(*syscall.SockaddrInet4).Port, func() { _ = syscall.Close(fd) }, nil
}

// writeKubeconfig writes the configuration of a client whose default is the given namespace.
func writeKubeconfig(name, namespace string) error {
	return os.WriteFile(name, fmt.Appendf(nil, `apiVersion: v1
kind: Config
current-context: test
contexts: [{name: test, context: {cluster: test, user: test, namespace: %q}}]
clusters: [{name: test, cluster: {server: %q, certificate-authority: %q}}]
users: [{name: test, user: {token: %q}}]
`, namespace, config.Host, config.CAFile, config.BearerToken), 0o600)
}

// namespace is a namespace in which the Pod Security Standard "restricted" is enforced.
type namespace struct {
	*testing.T
	name string
	env  []string // of commands: kubectl of this release, with this namespace as its default
}

// newNamespace creates a namespace with the name of the test and deletes what is in it at the end.
func newNamespace(t *testing.T) *namespace {
	t.Helper()
	name := strings.ToLower(strings.NewReplacer("/", "-", "_", "-", ".", "-").Replace(t.Name()))
	labels := map[string]string{}
	for _, mode := range []string{"enforce", "warn", "audit"} {
		labels["pod-security.kubernetes.io/"+mode] = "restricted"
	}
	object := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
	if _, err := client.CoreV1().Namespaces().Create(t.Context(), object, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		err := client.CoreV1().Namespaces().Delete(context.Background(), name, metav1.DeleteOptions{})
		if err != nil {
			t.Error(err)
		}
	})
	programs, err := filepath.Abs(bin)
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	kubeconfig := filepath.Join(home, "kubeconfig")
	if err := writeKubeconfig(kubeconfig, name); err != nil {
		t.Fatal(err)
	}
	n := &namespace{t, name, []string{"PATH=" + programs + ":" + os.Getenv("PATH"), "HOME=" + home, "KUBECONFIG=" + kubeconfig}}
	n.until("the default service account exists", func(ctx context.Context) (bool, error) {
		_, err := client.CoreV1().ServiceAccounts(name).Get(ctx, "default", metav1.GetOptions{})
		return err == nil, nil
	})
	return n
}

// in returns the namespace for a subtest.
func (n *namespace) in(t *testing.T) *namespace {
	c := *n
	c.T = t
	return &c
}

// sh runs a command line in the root of the repository, as a reader of the documentation does, and
// returns its standard output, its standard error and its exit code.
func (n *namespace) sh(line string) (stdout, stderr string, code int) {
	n.Helper()
	r := n.run(line)
	if r.err != nil {
		n.Fatalf("%s: %v\n%s%s", line, r.err, r.stdout, r.stderr)
	}
	return r.stdout, r.stderr, r.code
}

// result is that of a command line. err is set if it did not exit.
type result struct {
	stdout, stderr string
	code           int
	err            error
}

// run is sh for other goroutines than the test's.
func (n *namespace) run(line string) result {
	ctx, cancel := context.WithTimeout(n.Context(), timeout)
	defer cancel()
	var out, errs strings.Builder
	cmd := exec.CommandContext(ctx, "sh", "-c", line)
	cmd.Dir, cmd.Env = root, n.env
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Exited() {
		err = nil
	}
	return result{out.String(), errs.String(), cmd.ProcessState.ExitCode(), err}
}

// must runs a command line that must succeed without a warning and returns its output.
func (n *namespace) must(line string) string {
	n.Helper()
	stdout, stderr, code := n.sh(line)
	if code != 0 || stderr != "" {
		n.Fatalf("%s: got exit code %d, want 0 and no warnings:\n%s%s", line, code, stdout, stderr)
	}
	return stdout
}

// eventually runs a command line until it succeeds.
func (n *namespace) eventually(line string) {
	n.Helper()
	var r result
	defer func() {
		n.Helper()
		if r.code != 0 {
			n.Logf("%s: %s%s", line, r.stdout, r.stderr)
		}
	}()
	n.until(line+" succeeds", func(context.Context) (bool, error) {
		r = n.run(line)
		return r.code == 0, r.err
	})
}

// refused runs a command line that must fail with a message that contains want.
func (n *namespace) refused(line, want string) {
	n.Helper()
	if stdout, stderr, code := n.sh(line); code == 0 || !strings.Contains(stderr, want) {
		n.Errorf("%s: got exit code %d, want an error with %q:\n%s%s", line, code, want, stdout, stderr)
	}
}

// until waits until a condition holds.
func (n *namespace) until(what string, done func(context.Context) (bool, error)) {
	n.Helper()
	ctx, cancel := context.WithTimeout(n.Context(), timeout)
	defer cancel()
	if err := wait.PollUntilContextCancel(ctx, 50*time.Millisecond, true, done); err != nil {
		events, listErr := client.CoreV1().Events(n.name).List(n.Context(), metav1.ListOptions{})
		if listErr != nil {
			n.Error(listErr)
		}
		for _, e := range events.Items {
			n.Logf("%s/%s: %s: %s", e.InvolvedObject.Kind, e.InvolvedObject.Name, e.Reason, e.Message)
		}
		n.Fatalf("until %s: %v", what, err)
	}
}

// file writes a file for a command line and returns its path.
func (n *namespace) file(data string) string {
	n.Helper()
	name := filepath.Join(n.TempDir(), "manifest.yaml")
	if err := os.WriteFile(name, []byte(data), 0o600); err != nil {
		n.Fatal(err)
	}
	return name
}
