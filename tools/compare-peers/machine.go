package main

import (
	"cmp"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
)

// field is the value of the first line "name: value" or name=value of a file.
func field(file, name string) (string, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(data)) {
		key, value, ok := strings.Cut(line, ":")
		if !ok {
			key, value, ok = strings.Cut(line, "=")
		}
		if ok && strings.TrimSpace(key) == name {
			return strings.Trim(strings.TrimSpace(value), `"`), nil
		}
	}
	return "", fmt.Errorf("%s: no %s", file, name)
}

// thisMachine is its processor, memory and system, as far as they can be told.
func thisMachine() string {
	cpu, _ := field("/proc/cpuinfo", "model name")
	system, _ := field("/etc/os-release", "PRETTY_NAME")
	s := fmt.Sprintf("%s, %d cores", cmp.Or(cpu, runtime.GOARCH), runtime.NumCPU())
	total, _ := field("/proc/meminfo", "MemTotal")
	if kib, err := strconv.Atoi(strings.TrimSuffix(total, " kB")); err == nil {
		s += fmt.Sprintf(", %.0f GiB", float64(kib)/(1<<20))
	}
	return s + ", " + cmp.Or(system, runtime.GOOS)
}
