package auth

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

func write(t testing.TB, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

const (
	alice = "alice-token-0123456789"
	bob   = "bob!token#0123456789~"
)

func TestTokens(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tokens")
	write(t, file, "# clients\n\nalice "+alice+"\r\n  ci.build_1-x \t "+bob)
	tokens, err := LoadTokens(file)
	if err != nil {
		t.Fatal(err)
	}
	if n := tokens.Len(); n != 2 {
		t.Errorf("%d tokens", n)
	}
	for token, want := range map[string]string{
		alice: "alice", bob: "ci.build_1-x",
		"": "", "alice": "", alice[1:]: "", alice + " ": "", strings.ToUpper(alice): "",
	} {
		if name, ok := tokens.Authenticate(token); name != want || ok != (want != "") {
			t.Errorf("%q: got %q, %v; want %q", token, name, ok, want)
		}
	}
}

func TestTokensReload(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tokens")
	write(t, file, "alice "+alice)
	tokens, err := LoadTokens(file)
	if err != nil {
		t.Fatal(err)
	}
	write(t, file, "alice "+alice+"\nbob short")
	if err := tokens.Reload(); err == nil || !strings.Contains(err.Error(), file+":2: want a token of 16 to 1024") {
		t.Errorf("a bad file: %v", err)
	}
	if name, _ := tokens.Authenticate(alice); name != "alice" {
		t.Error("a failed reload removed the token")
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := tokens.Reload(); err == nil {
		t.Error("no file, and no error")
	}
	if name, _ := tokens.Authenticate(alice); name != "alice" {
		t.Error("a reload without a file removed the token")
	}
	write(t, file, "bob "+bob)
	if err := tokens.Reload(); err != nil {
		t.Fatal(err)
	}
	if _, ok := tokens.Authenticate(alice); ok {
		t.Error("a removed token still authenticates")
	}
	if name, _ := tokens.Authenticate(bob); name != "bob" {
		t.Error("a new token does not authenticate")
	}
}

func TestTokensWorldReadable(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tokens")
	write(t, file, "alice "+alice)
	for mode, want := range map[os.FileMode]bool{0o600: false, 0o640: false, 0o644: true} {
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
		if tokens, err := LoadTokens(file); err != nil || tokens.WorldReadable() != want {
			t.Errorf("%o: %v, want %v", mode, err, want)
		}
	}
}

// Errors name every invalid line, without its content.
func TestTokensErrors(t *testing.T) {
	tooMany := &strings.Builder{}
	for i := range maxTokens + 1 {
		fmt.Fprintf(tooMany, "n%d token-%016d\n", i, i)
	}
	for _, c := range []struct {
		text string
		want []string
	}{
		{"", []string{"f: 0 tokens: want 1 to 4096"}},
		{"# nobody\n", []string{"f: 0 tokens: want 1 to 4096"}},
		{tooMany.String(), []string{"f: 4097 tokens: want 1 to 4096"}},
		{alice, []string{"f:1: want NAME TOKEN"}},
		{"alice " + alice + " # hers", []string{"f:1: want NAME TOKEN"}},
		{alice + " ci", []string{"f:1: want a token of 16 to 1024"}},
		{strings.Repeat("n", 65) + " " + alice, []string{"f:1: want a name of 1 to 64"}},
		{"a " + strings.Repeat("t", 1025), []string{"f:1: want a token"}},
		{"a " + alice + "\x7f\nb " + alice + "é", []string{"f:1: want a token", "f:2: want a token"}},
		{
			"#\nalice " + alice + "\nb@b " + bob + "\nalice " + alice + "\nalone\nx tooshort",
			[]string{
				"f:3: want a name", "f:4: duplicate name, first used in line 2: want another", "f:4: duplicate token, first used in line 2: want another",
				"f:5: want NAME TOKEN", "f:6: want a token",
			},
		},
	} {
		entries, err := parseTokens("f", []byte(c.text))
		if err == nil || entries != nil {
			t.Errorf("%.50q: no error", c.text)
			continue
		}
		got := strings.Split(err.Error(), "\n")
		if !slices.EqualFunc(got, c.want, strings.HasPrefix) {
			t.Errorf("%.50q: %q; want %q", c.text, got, c.want)
		}
		for _, secret := range []string{alice, bob, "tooshort", "alone", "b@b"} {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("%.50q: the error %q contains %q", c.text, err, secret)
			}
		}
	}
	if _, err := LoadTokens(t.TempDir()); err == nil || !strings.Contains(err.Error(), "want a regular file") {
		t.Errorf("a folder: %v", err)
	}
	file := filepath.Join(t.TempDir(), "tokens")
	write(t, file, strings.Repeat("#", maxFileBytes+1))
	if _, err := LoadTokens(file); err == nil || !strings.Contains(err.Error(), "want at most 1048576 bytes") {
		t.Errorf("a file that is too long: %v", err)
	}
}

// Every token authenticates its owner and nobody else.
func TestTokensAuthenticateOwnersOnly(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tokens")
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfNDistinct(rapid.StringMatching(`[A-Za-z0-9._-]{1,64}`), 1, 20, rapid.ID).Draw(t, "names")
		secrets := rapid.SliceOfNDistinct(rapid.StringMatching(`[!-~]{16,40}`), len(names)+1, len(names)+1, rapid.ID).Draw(t, "tokens")
		var text strings.Builder
		for i, name := range names {
			fmt.Fprintf(&text, "%s %s\n", name, secrets[i])
		}
		if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		tokens, err := LoadTokens(file)
		if err != nil {
			t.Fatal(err)
		}
		for i, name := range names {
			if got, ok := tokens.Authenticate(secrets[i]); got != name || !ok {
				t.Errorf("%q is %q, %v; want %q", secrets[i], got, ok, name)
			}
		}
		if got, ok := tokens.Authenticate(secrets[len(names)]); ok {
			t.Errorf("an unknown token authenticates as %q", got)
		}
	})
}

func TestTokensConcurrently(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tokens")
	write(t, file, "alice "+alice)
	tokens, err := LoadTokens(file)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 200 {
				if name, ok := tokens.Authenticate(alice); !ok || name != "alice" {
					t.Errorf("%q, %v", name, ok)
				}
			}
		})
		all.Go(func() {
			for range 50 {
				if err := tokens.Reload(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
}

func FuzzTokens(f *testing.F) {
	f.Add([]byte("# clients\nalice " + alice + "\nbob\t" + bob + "\r\n"))
	f.Add([]byte("alice\nalice " + alice + " x\n\xff " + bob + "\na " + alice))
	f.Fuzz(func(t *testing.T, data []byte) {
		entries, err := parseTokens("f", data)
		if (err == nil) != (len(entries) > 0) {
			t.Fatalf("%d tokens, %v", len(entries), err)
		}
		names, sums := map[string]bool{}, map[[sha256.Size]byte]bool{}
		for _, e := range entries {
			if len(e.name) == 0 || len(e.name) > maxNameLen || names[e.name] || sums[e.sum] {
				t.Errorf("%q, or its token, is there twice or no name", e.name)
			}
			names[e.name], sums[e.sum] = true, true
		}
	})
}
