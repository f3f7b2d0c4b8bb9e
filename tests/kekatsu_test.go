// README.md's site for consoles that know only plain HTTP.

package tests

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/romm-oidc/caddy-romm-oidc/tests/romm"
)

// The documented site for consoles without TLS bypasses the gate. It serves the
// feeds and downloads of these consoles and nothing else.
func TestKekatsuSite(t *testing.T) {
	site := regexp.MustCompile(`(?s)\nhttp://romm-ds\.example\.com \{\n.*?\n\}\n`).FindString(manual(t))
	if site == "" {
		t.Fatal("the manual lacks the site http://romm-ds.example.com")
	}
	s := start(t, options{romm: func(o *romm.Options) { o.DisableDownloadEndpointAuth = true }})
	address := strings.TrimPrefix(s.rommURL, "http://")
	s.tester.InitServer("{\n\tadmin localhost:2999\n\thttp_port 9080\n\tgrace_period 1ns\n}\n"+
		strings.ReplaceAll(site, "reverse_proxy romm:8080", "reverse_proxy "+address+" {\n"+freshConnections+"\n}"), "caddyfile")
	console := s.browser()
	console.origin = "http://romm-ds.example.com:9080"
	for want, targets := range map[int][]string{
		http.StatusOK: {"/api/feeds/kekatsu/nds", "/api/feeds/kekatsu/nds/", "/api/roms/1/content/demo%20(USA).nds"},
		http.StatusNotFound: {
			"/api/feeds/tinfoil", "/api/roms", "/api/heartbeat", "/", "POST /api/users", "POST /api/feeds/kekatsu/nds",
			"/api/roms/1/content/..%2f..%2f..%2fstats", "/api/roms/1/content/../../../stats", "/api/roms/1/content/x/../../../../stats",
		},
	} {
		for _, target := range targets {
			answer := console.do(target, "Authorization", "Bearer junk", "Cookie", "romm_session=x")
			if answer.StatusCode != want || answer.Header.Get("Set-Cookie") != "" {
				t.Errorf("%s: %d %v, want %d", target, answer.StatusCode, answer.Header, want)
			}
		}
	}
}
