// The normal path.

package request

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestNormalPath(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		target string
		normal string
		plain  bool
		ok     bool
	}{
		"plain":                 {"/api/roms", "/api/roms", true, true},
		"root":                  {"/", "/", true, true},
		"trailing slash":        {"/api/roms/", "/api/roms", true, true},
		"path in the query":     {"/api/roms?x=/api/heartbeat", "/api/roms", true, true}, // CVE-2025-54576
		"double slash":          {"/api//heartbeat", "/api/heartbeat", false, true},
		"leading double slash":  {"//api/heartbeat", "/api/heartbeat", false, true},
		"dot segment":           {"/api/x/../heartbeat", "/api/heartbeat", false, true},
		"encoded dots":          {"/api/x/%2e%2e/heartbeat", "/api/heartbeat", false, true},
		"encoded slash":         {"/api%2fheartbeat", "/api/heartbeat", false, true},
		"encoded backslash":     {"/api%5cheartbeat", "/api/heartbeat", false, true},
		"encoded letter":        {"/api/%68eartbeat", "/api/heartbeat", false, true},
		"encoded question mark": {"/api/heartbeat%3fx", "/api/heartbeat?x", false, true},
		"encoded hash":          {"/api/heartbeat%23x", "/api/heartbeat#x", false, true}, // CVE-2026-41059
		"twice encoded":         {"/api/%252e", "/api/%2e", false, true},
		"path parameter":        {"/api/heartbeat;x", "/api/heartbeat;x", false, true},
		"hidden file":           {"/.well-known/x", "/.well-known/x", true, true},
		"dot in a name":         {"/api/roms/1/content/a.zip", "/api/roms/1/content/a.zip", true, true},
		"not ASCII":             {"/%C3%BC", "/\u00fc", false, true},
		"encoded NUL":           {"/api/heartbeat%00", "", false, false},
		"encoded line feed":     {"/api/heartbeat%0a", "", false, false},
		"DEL":                   {"/api/heartbeat%7f", "", false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest(http.MethodGet, c.target, nil)
			normal, plain, ok := NormalPath(r)
			if normal != c.normal || plain != c.plain || ok != c.ok {
				t.Errorf("NormalPath(%q) = %q, %v, %v, want %q, %v, %v", c.target, normal, plain, ok, c.normal, c.plain, c.ok)
			}
		})
	}
	t.Run("raw hash", func(t *testing.T) {
		t.Parallel()
		r := httptest.NewRequest(http.MethodGet, "/api/roms", nil)
		r.RequestURI = "/api/roms#/api/heartbeat"
		if _, _, ok := NormalPath(r); ok {
			t.Error("NormalPath accepted a raw # in the request line, want ok = false")
		}
	})
}

func FuzzNormalPath(f *testing.F) {
	for _, seed := range []string{"/", "/a/../b", "/%2e%2e/", "/a//b", `/a\b`, "/a;b", "/./"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, path string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.URL.Path = path
		normal, plain, ok := NormalPath(r)
		if !ok {
			return
		}
		r.URL.Path = normal
		again, _, ok := NormalPath(r)
		if !ok || again != normal {
			t.Errorf("NormalPath(%q) = %q, but NormalPath of that is %q, want it unchanged", path, normal, again)
		}
		if plain && normal != path && normal+"/" != path {
			t.Errorf("NormalPath(%q) = %q is plain, want plain = false for a changed path", path, normal)
		}
	})
}
