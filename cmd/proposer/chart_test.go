package main

import (
	"encoding/json"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/proposer/proposer/internal/config"
)

// TestChart checks that values.schema.json of the Helm chart has all settings but those that the chart sets itself, with
// their types and bounds.
func TestChart(t *testing.T) {
	data, err := os.ReadFile("../../docker/helm/proposer/values.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var schema struct {
		Properties struct {
			Settings struct {
				AdditionalProperties bool
				Properties           map[string]any
			}
		}
	}
	schema.Properties.Settings.AdditionalProperties = true
	if err := json.Unmarshal(data, &schema); err != nil {
		t.Fatal(err)
	}
	if schema.Properties.Settings.AdditionalProperties {
		t.Error("the schema accepts unknown settings")
	}

	type object = map[string]any
	chart := []string{"config", "addr", "admin-addr", "grpc-addr", "ranker", "tokens", "tls-cert", "tls-key"}
	number := func(text string) float64 {
		n, err := strconv.ParseFloat(text, 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	want := object{}
	for _, flag := range serveFlags(t) {
		var s object
		switch kind := flag.Target; {
		case flag.Enum != "":
			values := []any{}
			for _, v := range strings.Split(flag.Enum, ",") {
				values = append(values, v)
			}
			s = object{"enum": values}
		case kind.Type() == reflect.TypeFor[config.ByteSize]():
			s = object{"$ref": "#/definitions/size"}
		case kind.Type() == reflect.TypeFor[time.Duration]():
			s = object{"$ref": "#/definitions/time"}
		case kind.Type() == reflect.TypeFor[originList]():
			s = object{"anyOf": []any{object{"type": "string"}, object{"type": "array", "items": object{"type": "string"}}}}
		case kind.Kind() == reflect.Bool:
			s = object{"type": "boolean"}
		case kind.CanInt():
			s = object{"type": "integer", "minimum": number(flag.Tag.Get("min")), "maximum": number(flag.Tag.Get("max"))}
			if flag.Tag.Has("auto") {
				s = object{"anyOf": []any{s, object{"const": "auto"}}}
			}
		}
		want[flag.Name] = s
	}
	for _, name := range chart {
		if _, ok := want[name]; !ok {
			t.Errorf("%s is not a setting", name)
		}
		delete(want, name)
	}
	got := schema.Properties.Settings.Properties
	for name, s := range want {
		if !reflect.DeepEqual(s, got[name]) {
			t.Errorf("settings.%s of values.schema.json: got %v, want %v", name, got[name], s)
		}
		delete(got, name)
	}
	for name := range got {
		t.Errorf("settings.%s of values.schema.json is not a setting, or the chart sets it itself", name)
	}
}
