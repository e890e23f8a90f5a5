package main

import (
	"cmp"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
)

// readField returns the value of the first line "name: value" or name=value of a file.
func readField(file, name string) (string, error) {
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

// describeMachine returns the processor, memory and operating system, as far as they are known.
func describeMachine() string {
	cpu, _ := readField("/proc/cpuinfo", "model name")
	system, _ := readField("/etc/os-release", "PRETTY_NAME")
	s := fmt.Sprintf("%s, %d cores", cmp.Or(cpu, runtime.GOARCH), runtime.NumCPU())
	total, _ := readField("/proc/meminfo", "MemTotal")
	if kib, err := strconv.Atoi(strings.TrimSuffix(total, " kB")); err == nil {
		s += fmt.Sprintf(", %.0f GiB", float64(kib)/(1<<20))
	}
	return s + ", " + cmp.Or(system, runtime.GOOS)
}
