// The operator's command against an admin API that a test controls.

package tests

import (
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/romm-oidc/caddy-romm-oidc/handler/admin"
	"github.com/romm-oidc/caddy-romm-oidc/tests/caddyprocess"
)

// The command reaches the admin API over TCP, with the Origin that Caddy may
// enforce, and over a Unix socket. It prints the API's own error, or the status
// of a response that is not the API's.
func TestCommandSpeaksToTheAdminAPI(t *testing.T) {
	file, err := caddyprocess.Binary()
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(t.TempDir(), "admin.sock")
	overTCP, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	overUnix, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	origins := make(chan string, 1)
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+admin.LinksPath, func(w http.ResponseWriter, r *http.Request) {
		origins <- r.Host + " " + r.Header.Get("Origin")
		_, _ = w.Write([]byte(`[]`))
	})
	mux.HandleFunc("GET "+admin.SessionsPath, func(w http.ResponseWriter, r *http.Request) {
		origins <- r.Host + " " + r.Header.Get("Origin")
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write([]byte(`{"error":"gate ` + r.FormValue("gate") + `: no storage"}`))
	})
	mux.HandleFunc("GET "+admin.StatusPath, func(w http.ResponseWriter, r *http.Request) {
		origins <- r.Host + " " + r.Header.Get("Origin")
		http.Error(w, "not Caddy", http.StatusTeapot)
	})
	for _, listener := range []net.Listener{overTCP, overUnix} {
		server := &http.Server{Handler: mux}
		go func() { _ = server.Serve(listener) }()
		defer server.Close()
	}
	tcp := overTCP.Addr().String()
	for address, origin := range map[string]string{
		tcp:                        tcp + " http://" + tcp,
		"http://" + tcp + "/":      tcp + " http://" + tcp,
		"unix/" + socket:           "127.0.0.1 ",
		"unix/" + socket + "|0600": "127.0.0.1 ",
	} {
		for args, want := range map[string]string{
			"links":    "ROMM ID  ROMM USER  E-MAIL  ISSUER  SUBJECT  STATE  GATE\n",
			"sessions": "Error: gate 0123: no storage\n",
		} {
			output, _ := exec.CommandContext(t.Context(), file, "romm-oidc", args, "list", "--gate", "0123", "--address", address).CombinedOutput()
			got := "nothing"
			select {
			case got = <-origins:
			default:
			}
			if string(output) != want || got != origin {
				t.Errorf("%s list at %s printed %q, want %q; it sent the host and origin %q, want %q", args, address, output, want, got, origin)
			}
		}
	}
	output, err := exec.CommandContext(t.Context(), file, "romm-oidc", "status", "--address", tcp).CombinedOutput()
	if want := "Error: asking the admin API of Caddy at " + tcp + ": it answered 418 I'm a teapot\n"; err == nil || string(output) != want {
		t.Errorf("status printed %q, error %v, want %q", output, err, want)
	}
}
