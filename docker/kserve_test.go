package docker

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/proposer/proposer/api/openinference"
	"github.com/proposer/proposer/internal/testutil/scene"
)

// TestKServe checks that KServe's runtime has the limits and the security settings of the service's pods, and that
// its InferenceServices select it.
func TestKServe(t *testing.T) {
	_, uid, gid := imageUser(t)
	runtime := load(t, "kserve/servingruntime.yaml").at("spec")
	container := runtime.at("containers", 0)
	container.at("name").checkText("kserve-container") // the name that KServe looks for
	pod := load(t, "kubernetes/deployment.yaml").at("spec", "template", "spec", "containers", 0)
	container.at("resources").checkText(pod.at("resources").text())
	image := load(t, "kubernetes/kustomization.yaml").at("images", 0)
	container.at("image").checkText(image.at("newName").text() + ":" + image.at("newTag").text())
	for _, name := range []string{"PROPOSER_MAX_PIXELS", "PROPOSER_BODY_MEMORY", "PROPOSER_CACHE", "GOMEMLIMIT"} {
		container.at("env").named(name).at("value").checkText(pod.at("env").named(name).at("value").text())
	}
	security := container.at("securityContext")
	for name, want := range pod.at("securityContext").value.(map[string]any) {
		security.at(name).checkText(want)
	}
	security.at("runAsUser").checkText(uid)
	security.at("runAsGroup").checkText(gid)
	security.at("runAsNonRoot").checkText(true)
	security.at("seccompProfile", "type").checkText("RuntimeDefault")

	format := runtime.at("supportedModelFormats", 0)
	for _, name := range []string{"inferenceservice.yaml", "serverless.yaml"} {
		t.Run(name, func(t *testing.T) {
			predictor := load(t, "kserve/"+name).at("spec", "predictor")
			predictor.at("model", "modelFormat", "name").checkText(format.at("name").text())
			if version := predictor.at("model", "protocolVersion").text(); !strings.Contains(runtime.at("protocolVersions").text(), version) {
				t.Errorf("the runtime does not have protocol %s", version)
			}
			predictor.at("enableServiceLinks").checkText(false)
			// The webhook of KServe refuses more than 100 percent.
			if number(predictor.at("scaleTarget")) > 100 {
				t.Error("got a scaleTarget above 100")
			}
			if name == "inferenceservice.yaml" {
				ports := predictor.at("model", "ports")
				for port, setting := range map[string]string{"http1": "PROPOSER_ADDR", "h2c": "PROPOSER_GRPC_ADDR"} {
					container.at("env").named(setting).at("value").checkText(":" + ports.named(port).at("containerPort").text())
				}
			}
		})
	}
}

// TestKServeRuns starts the program with the settings of KServe's runtime, except for the ports, and sends the
// requests of the kubelet, of Prometheus and of a client.
func TestKServeRuns(t *testing.T) {
	program := batchProgram(t)
	spec := load(t, "kserve/servingruntime.yaml").at("spec")
	container := spec.at("containers", 0)
	container.at("args").checkText("[serve]") // as startService
	flags := settings(t)
	args := []string{"--grpc-addr=127.0.0.1:0"}
	ports := map[string]string{}
	for _, env := range container.at("env").list() {
		name, value := env.at("name").text(), env.at("value").text()
		if port, ok := strings.CutPrefix(value, ":"); ok {
			ports[name] = port
		} else if flag, ok := flags[name]; ok {
			args = append(args, "--"+flag+"="+value)
		}
	}
	_, addr, admin := startService(t, nil, program, args...)

	request := func(method, url string, body []byte) []byte {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, url, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		data, err := io.ReadAll(response.Body)
		if err != nil || response.StatusCode != http.StatusOK {
			t.Fatalf("%s %s: got %s %s (error %v), want status 200", method, url, response.Status, data, err)
		}
		return data
	}
	for _, probe := range []string{"livenessProbe", "readinessProbe"} {
		get := container.at(probe, "httpGet")
		get.at("port").checkText(ports["PROPOSER_ADDR"])
		request(http.MethodGet, "http://"+addr+get.at("path").text(), nil)
	}
	spec.at("annotations", "prometheus.kserve.io/port").checkText(ports["PROPOSER_ADMIN_ADDR"])
	metrics := request(http.MethodGet, "http://"+admin+spec.at("annotations", "prometheus.kserve.io/path").text(), nil)
	if !bytes.Contains(metrics, []byte("\nproposer_build_info{")) {
		t.Errorf("got the metrics %s, want those of proposer", metrics)
	}
	image := base64.StdEncoding.EncodeToString(scene.Render(1, 64, 48, 2).PNG())
	body := fmt.Sprintf(`{"inputs":[{"name":"image","shape":[1],"datatype":"BYTES","data":[%q]}],"parameters":{"max":5}}`, image)
	result := request(http.MethodPost, "http://"+addr+"/v2/models/"+openinference.ModelName+"/infer", []byte(body))
	if !bytes.Contains(result, []byte(`"shape":[5,4]`)) {
		t.Errorf("got %s, want 5 boxes", result)
	}
}
