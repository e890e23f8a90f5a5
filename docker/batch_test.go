package docker

import (
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

const batchFolder = "kubernetes/batch/"

// TestBatchJobs checks that the pods of the batch jobs have the security settings of the service's
// pods, and that the service's selector does not match them.
func TestBatchJobs(t *testing.T) {
	all, err := filepath.Glob(batchFolder + "*.yaml")
	if err != nil || len(all) != 4 {
		t.Fatalf("got files %q (error %v), want 4", all, err)
	}
	for _, name := range all {
		name = filepath.Base(name)
		if name == "kustomization.yaml" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			listed := load(t, batchFolder+"kustomization.yaml")
			isName := func(n node) bool { return n.text() == name }
			if !slices.ContainsFunc(listed.at("resources").list(), isName) {
				t.Error("kustomization.yaml does not list the file")
			}
			if name != "networkpolicy.yaml" {
				checkBatchJob(t, name)
			}
		})
	}
	load(t, batchFolder+"kustomization.yaml").at("images").checkText(load(t, "kubernetes/kustomization.yaml").at("images").text())

	spec := load(t, batchFolder+"job.yaml").at("spec")
	pod := spec.at("template", "spec", "containers", 0)
	spec.at("completionMode").checkText("Indexed")
	pod.at("env").named("PROPOSER_SHARDS").at("value").checkText(spec.at("completions").text())
	if number(spec.at("parallelism")) > number(spec.at("completions")) || number(spec.at("backoffLimitPerIndex")) < 1 {
		t.Error("got more parallel pods than shards, or shards that are not retried")
	}
	rule := spec.at("podFailurePolicy", "rules", 0)
	rule.at("action").checkText("FailJob")
	rule.at("onExitCodes", "containerName").checkText(pod.at("name").text())
	rule.at("onExitCodes", "values").checkText("[64]")
	load(t, batchFolder+"merge.yaml").at("spec", "suspend").checkText(true)
	selector := load(t, batchFolder+"networkpolicy.yaml").at("spec", "podSelector", "matchLabels")
	selector.checkText(load(t, batchFolder+"job.yaml").at("spec", "template", "metadata", "labels").text())
	comment, _, _ := strings.Cut(read(t, batchFolder+"kustomization.yaml"), "\napiVersion")
	jobName := load(t, batchFolder+"job.yaml").at("metadata", "name").text()
	mergeName := load(t, batchFolder+"merge.yaml").at("metadata", "name").text()
	for _, want := range []string{"-k docker/" + strings.TrimSuffix(batchFolder, "/"), "job/" + jobName, "job " + mergeName} {
		t.Run(want, func(t *testing.T) {
			if !strings.Contains(comment, want+"\n") && !strings.Contains(comment, want+" ") {
				t.Errorf("the comment of kustomization.yaml does not mention %q", want)
			}
		})
	}
}

// checkBatchJob checks a job's manifest against those of the service.
func checkBatchJob(t *testing.T, name string) {
	t.Helper()
	service := load(t, "kubernetes/deployment.yaml").at("spec", "template", "spec")
	selector := load(t, "kubernetes/service.yaml").at("spec", "selector").value.(map[string]any)
	job := load(t, batchFolder+name)
	template := job.at("spec", "template")
	spec := template.at("spec")
	pod := spec.at("containers", 0)
	if _, ok := job.at("spec").value.(map[string]any)["selector"]; ok {
		t.Error("got a selector, want the default of a job")
	}
	for label, value := range selector {
		template.at("metadata", "labels", label).checkText(value.(string) + "-batch")
	}
	spec.at("restartPolicy").checkText("Never")
	for _, path := range [][]any{
		{"securityContext"},
		{"automountServiceAccountToken"},
		{"enableServiceLinks"},
		{"containers", 0, "securityContext"},
		{"containers", 0, "image"},
	} {
		if got, want := spec.at(path...), service.at(path...); !reflect.DeepEqual(got.value, want.value) {
			t.Errorf("%s: got %v, want %v as for the service", got.path, got.value, want.value)
		}
	}

	memory := number(pod.at("resources", "limits", "memory"))
	pod.at("resources", "requests", "memory").checkText(pod.at("resources", "limits", "memory").text())
	pod.at("env").named("GOMEMLIMIT").at("value").checkText(fmt.Sprintf("%dMiB", memory*1024*7/8))
	for _, m := range pod.at("volumeMounts").list() {
		if m.at("mountPath").text() == "/tmp" {
			spec.at("volumes").named(m.at("name").text()).at("emptyDir")
			continue
		}
		claim := spec.at("volumes").named(m.at("name").text()).at("persistentVolumeClaim", "claimName").text()
		m.at("mountPath").checkText("/" + claim)
	}
}

// TestBatchJobsRun checks that the commands of the jobs' pods, run one after the other, write the
// same files as a single run.
func TestBatchJobsRun(t *testing.T) {
	program := batchProgram(t)
	claims := map[string]string{"/pictures": writeImages(t, 20, 160, 120), "/boxes": filepath.Join(t.TempDir(), "boxes")}
	// args returns the arguments of a job's container, with local folders in place of its volumes.
	args := func(name string) (args []string) {
		t.Helper()
		for _, a := range load(t, batchFolder+name).at("spec", "template", "spec", "containers", 0, "args").list() {
			flag, path, _ := strings.Cut(a.text(), "/")
			if folder, ok := claims["/"+path]; ok {
				args = append(args, flag+folder)
			} else {
				args = append(args, a.text())
			}
		}
		return args
	}
	batch := args("job.yaml")
	if len(batch) != 4 || !strings.HasPrefix(batch[2], "--out=/") {
		t.Fatalf("got arguments %q, want 4 with --out as the third", batch)
	}
	single := slices.Clone(batch)
	single[2] = "--out=" + filepath.Join(t.TempDir(), "single")
	const shardSize = "--shard-size=2"
	job := load(t, batchFolder+"job.yaml").at("spec")
	shards := job.at("template", "spec", "containers", 0, "env").named("PROPOSER_SHARDS").at("value").text()
	for i := range number(job.at("completions")) {
		run(t, []string{"PROPOSER_SHARDS=" + shards, fmt.Sprint("JOB_COMPLETION_INDEX=", i)}, program, append(batch, shardSize)...)
	}
	run(t, nil, program, args("merge.yaml")...)
	run(t, nil, program, append(single, shardSize)...)
	checkSameResults(t, claims["/boxes"], strings.TrimPrefix(single[2], "--out="))
}
