// Tests of the faults and of the record of requests.

package romm

import (
	"net/http"
	"testing"
)

func TestFaultAndDown(t *testing.T) {
	t.Parallel()
	s, b := signedIn(t, Options{})
	s.Fault("/api/users/me", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	wantStatus(t, b.get("/api/users/me/"), http.StatusBadGateway)
	s.Fault("/api/users/me", nil)
	wantStatus(t, b.get("/api/users/me"), http.StatusOK)
	target := newServer(t, s)
	s.Down()
	if answer, err := http.Get(target + "/api/heartbeat"); err == nil {
		_ = answer.Body.Close()
		t.Errorf("RomM down: status is %s, want a broken connection", answer.Status)
	}
	s.Up()
	wantStatus(t, b.get("/api/users/me"), http.StatusOK)
}

func TestRequestsAreRecordedWithTheirUser(t *testing.T) {
	t.Parallel()
	s, b := signedIn(t, Options{})
	s.ForgetRequests()
	b.get("/api/roms?limit=1", header{"X-Test": "1"})
	b.get("/nothing/here")
	all := s.Requests()
	if len(all) != 2 || all[0].Path != "/api/roms" || all[0].Query != "limit=1" || all[0].User != "ada" ||
		all[0].Header.Get("X-Test") != "1" || all[1].User != "" {
		t.Errorf("recorded requests are %+v, want ada's and an anonymous one", all)
	}
}
