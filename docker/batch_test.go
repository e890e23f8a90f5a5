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

// The jobs' pods are as safe as the service's, and are not taken for them.
func TestBatchJobs(t *testing.T) {
	service := load(t, "kubernetes/deployment.yaml").at("spec", "template", "spec")
	selector := load(t, "kubernetes/service.yaml").at("spec", "selector").value.(map[string]any)
	listed := load(t, batchFolder+"kustomization.yaml")
	all, err := filepath.Glob(batchFolder + "*.yaml")
	if err != nil || len(all) != 3 {
		t.Fatal(all, err)
	}
	for _, name := range all {
		if name = filepath.Base(name); name == "kustomization.yaml" {
			continue
		}
		if !slices.ContainsFunc(listed.at("resources").list(), func(n tree) bool { return n.text() == name }) {
			t.Errorf("the kustomization does not name %s", name)
		}
		job := load(t, batchFolder+name)
		template := job.at("spec", "template")
		spec := template.at("spec")
		pod := spec.at("containers", 0)
		if _, ok := job.at("spec").value.(map[string]any)["selector"]; ok {
			t.Errorf("%s: a job finds its pods itself", name)
		}
		for label, value := range selector {
			template.at("metadata", "labels", label).is(value.(string) + "-batch")
		}
		spec.at("restartPolicy").is("Never")
		for _, path := range [][]any{{"securityContext"}, {"automountServiceAccountToken"}, {"enableServiceLinks"}, {"containers", 0, "securityContext"}, {"containers", 0, "image"}} {
			if got, want := spec.at(path...), service.at(path...); !reflect.DeepEqual(got.value, want.value) {
				t.Errorf("%s is %v, and the service's %v", got.place, got.value, want.value)
			}
		}
		memory := number(pod.at("resources", "limits", "memory"))
		pod.at("resources", "requests", "memory").is(pod.at("resources", "limits", "memory").text())
		pod.at("env").named("GOMEMLIMIT").at("value").is(fmt.Sprintf("%dMiB", memory*1024*7/8))
		for _, m := range pod.at("volumeMounts").list() {
			claim := spec.at("volumes").named(m.at("name").text()).at("persistentVolumeClaim", "claimName").text()
			if m.at("mountPath").text() != "/"+claim {
				t.Errorf("%s: the claim %s is at %s", name, claim, m.at("mountPath").text())
			}
		}
	}
	listed.at("images").is(load(t, "kubernetes/kustomization.yaml").at("images").text())

	spec := load(t, batchFolder+"job.yaml").at("spec")
	pod := spec.at("template", "spec", "containers", 0)
	spec.at("completionMode").is("Indexed")
	pod.at("env").named("PROPOSER_SHARDS").at("value").is(spec.at("completions").text())
	if number(spec.at("parallelism")) > number(spec.at("completions")) || number(spec.at("backoffLimitPerIndex")) < 1 {
		t.Error("more pods than shares, or a share whose first failure is its last")
	}
	rule := spec.at("podFailurePolicy", "rules", 0)
	rule.at("action").is("FailJob")
	rule.at("onExitCodes", "containerName").is(pod.at("name").text())
	rule.at("onExitCodes", "values").is("[2]")
	load(t, batchFolder+"merge.yaml").at("spec", "suspend").is(true)
	comment, _, _ := strings.Cut(read(t, batchFolder+"kustomization.yaml"), "\napiVersion")
	for _, want := range []string{"-k docker/" + strings.TrimSuffix(batchFolder, "/"), "job/" + load(t, batchFolder+"job.yaml").at("metadata", "name").text(), "job " + load(t, batchFolder+"merge.yaml").at("metadata", "name").text()} {
		if !strings.Contains(comment, want+"\n") && !strings.Contains(comment, want+" ") {
			t.Errorf("the kustomization does not say %s", want)
		}
	}
}

// What the jobs' pods run, one after the other, makes what a single run does.
func TestBatchJobsRun(t *testing.T) {
	program := batcher(t)
	claims := map[string]string{"/pictures": pictures(t, 20, 160, 120), "/boxes": filepath.Join(t.TempDir(), "boxes")}
	// args are those of a job's container, with folders for its volumes.
	args := func(name string) (args []string) {
		t.Helper()
		for _, a := range load(t, batchFolder+name).at("spec", "template", "spec", "containers", 0, "args").list() {
			before, path, _ := strings.Cut(a.text(), "/")
			if folder, ok := claims["/"+path]; ok {
				args = append(args, before+folder)
			} else {
				args = append(args, a.text())
			}
		}
		return args
	}
	batch := args("job.yaml")
	if len(batch) != 4 || !strings.HasPrefix(batch[2], "--out=/") {
		t.Fatal(batch)
	}
	single := slices.Clone(batch)
	single[2] = "--out=" + filepath.Join(t.TempDir(), "single")
	small := "--shard-size=2"
	job := load(t, batchFolder+"job.yaml").at("spec")
	shares := job.at("template", "spec", "containers", 0, "env").named("PROPOSER_SHARDS").at("value").text()
	for i := range number(job.at("completions")) {
		run(t, []string{"PROPOSER_SHARDS=" + shares, fmt.Sprint("JOB_COMPLETION_INDEX=", i)}, program, append(batch, small)...)
	}
	run(t, nil, program, args("merge.yaml")...)
	run(t, nil, program, append(single, small)...)
	same(t, results(t, claims["/boxes"]), results(t, strings.TrimPrefix(single[2], "--out=")))
}
