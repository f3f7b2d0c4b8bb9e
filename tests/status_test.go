// The status command, and gates by their ID.

package tests

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/romm-oidc/caddy-romm-oidc/handler/admin"
)

func TestStatus(t *testing.T) {
	s := start(t, options{directive: rolesByMail})
	output, code := s.command("status")
	if code != 0 || !strings.Contains(output, "metadata read at") || !strings.Contains(output, "0 in memory") || !strings.Contains(output, "not asked yet") {
		t.Errorf("status before the first sign-in exited with %d, want 0 with no session in memory and RomM not asked yet: %s", code, output)
	}
	s.as("alice")
	status := managed[admin.Status](s, admin.StatusPath)
	if len(status) != 1 || status[0].Issuer != issuer || status[0].Origin != public || status[0].ClientID != "romm" ||
		status[0].SessionsInMemory != 1 || status[0].StorageAway || status[0].RomM.Version != "5.2.0" || status[0].Provider.Error != "" {
		t.Errorf("the admin API's status is %+v, want one gate with one session and RomM 5.2.0", status)
	}

	// Authelia is down while Caddy starts.
	s.unload()
	s.authelia.Down()
	s.load(options{directive: rolesByMail})
	output, code = s.command("status")
	if code != 1 || !strings.Contains(output, "does not answer: new sign-ins fail") || !strings.Contains(output, "Error: a gate has a problem") {
		t.Errorf("status while Authelia is away exited with %d, want 1 and the reason: %s", code, output)
	}
	s.authelia.Up()
	eventually(t, func() bool { _, code := s.command("status"); return code == 0 })
}

// Readable storage is not enough: without writable storage, new sign-ins fail.
func TestStatusTriesStorage(t *testing.T) {
	s := start(t, options{directive: rolesByMail})
	if output, code := s.command("status"); code != 0 || !strings.Contains(output, "storage        answers") {
		t.Errorf("status with working storage exited with %d, want 0 and that it answers: %s", code, output)
	}
	locks := filepath.Join(s.storage, "locks")
	if err := errors.Join(os.RemoveAll(locks), os.WriteFile(locks, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if output, code := s.command("status"); code != 1 || !strings.Contains(output, "storage        not writable: new sign-ins fail, sessions in memory continue: locking storage: ") {
		t.Errorf("status with storage that is not writable exited with %d, want 1 and the reason: %s", code, output)
	}
}

// With two gates in one Caddy, answers name the gate and --gate selects one.
func TestGateIsNamed(t *testing.T) {
	s := start(t, options{directive: rolesByMail, site: "reverse_proxy %s {\n" + freshConnections + `
	}
}
http://127.0.0.1:9082 {
	romm_oidc {
		issuer ` + issuer + `
		client_id other
		client_secret insecure_secret
		redirect_uri http://127.0.0.1:9082` + base + `
	}`})
	alice := s.as("alice")
	status := managed[admin.Status](s, admin.StatusPath)
	if len(status) != 2 {
		t.Fatalf("the admin API's status is %+v, want two gates", status)
	}
	mine, other := status[0], status[1]
	if mine.ClientID != "romm" {
		mine, other = other, mine
	}
	if output, code := s.command("sessions", "end-all", "--yes", "--gate", other.Gate); code != 0 || output != "Gate "+other.Gate+": 0 sessions ended.\n" {
		t.Errorf("sessions end-all --gate of the other gate exited with %d, want 0 and 0 sessions ended: %s", code, output)
	}
	if !alice.in() {
		t.Error("ending the other gate's sessions ended alice's")
	}
	if output, code := s.command("links", "move", "alice", "x"); code != 1 || !strings.Contains(output, "more than one gate") {
		t.Errorf("links move without --gate exited with %d, want 1 as there are two gates: %s", code, output)
	}
	if output, code := s.command("links", "move", "alice", "x", "--gate", mine.Gate); code != 0 || !strings.Contains(output, "1 session of its former user ended") || alice.in() {
		t.Errorf("links move --gate exited with %d, want 0 and alice's session ended: %s", code, output)
	}
	if output, code := s.command("sessions", "list", "--gate", "0123"); code != 1 || !strings.Contains(output, "no gate has the id") {
		t.Errorf("sessions list --gate of an unknown gate exited with %d, want 1 and the reason: %s", code, output)
	}
}
