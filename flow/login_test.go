package flow

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// cookie keeps login as a browser does.
func (w *world) cookie(login *Login) *http.Cookie {
	w.Helper()
	name, value, err := w.rp.LoginCookie(w.Context(), testPrefix, login)
	if err != nil {
		w.Fatal(err)
	}
	return &http.Cookie{Name: name, Value: value}
}

func (w *world) newLogin(returnTo string) *Login {
	w.Helper()
	login, _, err := w.rp.Begin(w.Context(), returnTo, false)
	if err != nil {
		w.Fatal(err)
	}
	return login
}

func TestLoginCookie(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	login := w.newLogin("/library?a=b")
	cookie := w.cookie(login)
	// 2026-11-24 12:10 is minute 29925370 of the epoch.
	hash := sha256.Sum256([]byte(login.State))
	if want := testPrefix + "login_hteka_" + hex.EncodeToString(hash[:8]); cookie.Name != want {
		t.Errorf("got name %s, want %s", cookie.Name, want)
	}
	for what, secret := range map[string]string{"state": login.State, "nonce": login.Nonce, "verifier": login.Verifier, "path": "library"} {
		if strings.Contains(cookie.Name+cookie.Value, secret) {
			t.Errorf("the %s can be read in it", what)
		}
	}
	if err := cookie.Valid(); err != nil {
		t.Error(err)
	}
	got, name, err := w.rp.FindLogin(t.Context(), testPrefix, []*http.Cookie{{Name: "other", Value: "x"}, cookie}, login.State)
	if err != nil || name != cookie.Name {
		t.Fatalf("got %v, %s, %v", got, name, err)
	}
	if *got != *login {
		t.Errorf("got %+v, want %+v", got, login)
	}
	if again := w.cookie(login); again.Name != cookie.Name || again.Value == cookie.Value {
		t.Error("a nonce was used twice")
	}
}

// Each login must fit into a cookie (RFC 6265 section 6.1: 4096 bytes), and
// five of the longest paths into what a server reads of a request, whatever
// characters they have.
func TestLoginCookieSize(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, character := range []string{"p", "&", "<", "\""} {
		login := w.newLogin("/?" + strings.Repeat(character, returnToLimit-2))
		if len(login.ReturnTo) != returnToLimit {
			t.Fatalf("%q: the path is not the longest", character)
		}
		if cookie := w.cookie(login); len(cookie.Name)+len(cookie.Value) > 3200 {
			t.Errorf("%q: %d bytes", character, len(cookie.Name)+len(cookie.Value))
		}
	}
}

// A state is worth something only in the browser whose cookie has it sealed,
// under the very name, prefix, gate and key that it was sealed for.
func TestFindLogin(t *testing.T) {
	t.Parallel()
	flip := func(s string, i int) string {
		b := []byte(s)
		if b[i]++; !strings.ContainsRune("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", rune(b[i])) {
			b[i] = 'A'
		}
		return string(b)
	}
	for name, row := range map[string]struct {
		change func(w *world, c *http.Cookie, state *string)
		want   error
	}{
		"as it was":            {func(*world, *http.Cookie, *string) {}, nil},
		"no state":             {func(_ *world, _ *http.Cookie, s *string) { *s = "" }, ErrLoginUnknown},
		"another state":        {func(_ *world, _ *http.Cookie, s *string) { *s = "another" }, ErrLoginUnknown},
		"another browser's":    {func(w *world, c *http.Cookie, _ *string) { *c = *w.cookie(w.newLogin("/")) }, ErrLoginUnknown},
		"another's value":      {func(w *world, c *http.Cookie, _ *string) { c.Value = w.cookie(w.newLogin("/")).Value }, ErrLoginUnknown},
		"another's name":       {func(w *world, c *http.Cookie, _ *string) { c.Name = w.cookie(w.newLogin("/")).Name }, ErrLoginUnknown},
		"another minute":       {func(_ *world, c *http.Cookie, _ *string) { c.Name = strings.Replace(c.Name, "_hteka_", "_htekb_", 1) }, ErrLoginUnknown},
		"another prefix":       {func(_ *world, c *http.Cookie, _ *string) { c.Name = strings.TrimPrefix(c.Name, "__Host-") }, ErrLoginUnknown},
		"prefix twice":         {func(_ *world, c *http.Cookie, _ *string) { c.Name = testPrefix + c.Name }, ErrLoginUnknown},
		"name of another sort": {func(_ *world, c *http.Cookie, _ *string) { c.Name = testPrefix + stateHash("x") }, ErrLoginUnknown},
		"first byte changed":   {func(_ *world, c *http.Cookie, _ *string) { c.Value = flip(c.Value, 0) }, ErrLoginUnknown},
		"last byte changed":    {func(_ *world, c *http.Cookie, _ *string) { c.Value = flip(c.Value, len(c.Value)-1) }, ErrLoginUnknown},
		"cut short":            {func(_ *world, c *http.Cookie, _ *string) { c.Value = c.Value[:len(c.Value)-4] }, ErrLoginUnknown},
		"lengthened":           {func(_ *world, c *http.Cookie, _ *string) { c.Value += "AAAA" }, ErrLoginUnknown},
		"empty":                {func(_ *world, c *http.Cookie, _ *string) { c.Value = "" }, ErrLoginUnknown},
		"padded":               {func(_ *world, c *http.Cookie, _ *string) { c.Value += "=" }, ErrLoginUnknown},
		"another gate":         {func(w *world, _ *http.Cookie, _ *string) { w.keyring = newKeyring(w.T, "other", 1) }, ErrLoginUnknown},
		"another key":          {func(w *world, _ *http.Cookie, _ *string) { w.keyring = newKeyring(w.T, "gate", 2) }, ErrLoginUnknown},
		"a newer key":          {func(w *world, _ *http.Cookie, _ *string) { w.keyring = newKeyring(w.T, "gate", 2, 1) }, nil},
		"its last second":      {func(w *world, _ *http.Cookie, _ *string) { w.Advance(LoginLifetime) }, nil},
		"too late":             {func(w *world, _ *http.Cookie, _ *string) { w.Advance(LoginLifetime + time.Second) }, ErrLoginExpired},
		"sealed for something else": {func(w *world, c *http.Cookie, _ *string) {
			c.Value = w.keyring.SealText("ticket", []byte(`{}`), c.Name)
		}, ErrLoginUnknown},
		"sealed, but no login": {func(w *world, c *http.Cookie, _ *string) {
			c.Value = w.keyring.SealText(sealLogin, []byte(`[]`), c.Name)
		}, ErrLoginUnknown},
		"a state that is none of ours": {func(w *world, c *http.Cookie, s *string) {
			*s = strings.Repeat("s", stateLimit+1)
			*c = *w.cookie(&Login{State: *s, Expires: w.Now()})
		}, ErrLoginUnknown},
		"sealed, of another state": {func(w *world, c *http.Cookie, _ *string) {
			c.Value = w.keyring.SealText(sealLogin, []byte(`{"s":"another","e":"2030-01-01T00:00:00Z"}`), c.Name)
		}, ErrLoginUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			login := w.newLogin("/library")
			cookie, state := w.cookie(login), login.State
			row.change(w, cookie, &state)
			got, found, err := w.rp.FindLogin(t.Context(), testPrefix, []*http.Cookie{cookie}, state)
			failsAs(t, err, row.want, "")
			switch {
			case err == nil && (got.Verifier != login.Verifier || found != cookie.Name),
				err != nil && got != nil,
				errors.Is(err, ErrLoginExpired) && found != cookie.Name,
				errors.Is(err, ErrLoginUnknown) && found != "":
				t.Errorf("got %+v, %q", got, found)
			}
		})
	}
}

// Login CSRF: an attacker who lures a victim to a callback of the attacker's
// own login gets nowhere, whatever cookies he planted from a sibling domain.
func TestFindLoginAmongPlanted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	login := w.newLogin("/")
	cookie := w.cookie(login)
	planted := []*http.Cookie{
		{Name: cookie.Name, Value: "planted"},
		{Name: cookie.Name, Value: w.cookie(w.newLogin("/")).Value},
		{Name: testPrefix + "login_0_" + stateHash(login.State), Value: cookie.Value},
		cookie,
		{Name: cookie.Name, Value: ""},
	}
	got, _, err := w.rp.FindLogin(t.Context(), testPrefix, planted, login.State)
	if err != nil || got.Verifier != login.Verifier {
		t.Errorf("got %+v, %v", got, err)
	}
}

// Tabs that opened at once: each comes back on its own.
func TestFiveLoginsAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	logins, cookies := make([]*Login, 0, MaxLogins), make([]*http.Cookie, 0, MaxLogins)
	for i := range MaxLogins {
		login := w.newLogin(fmt.Sprint("/tab", i))
		logins, cookies = append(logins, login), append(cookies, w.cookie(login))
		w.Advance(20 * time.Second)
	}
	for i := range MaxLogins {
		login := logins[(i*3)%MaxLogins]
		got, name, err := w.rp.FindLogin(t.Context(), testPrefix, cookies, login.State)
		if err != nil || got.ReturnTo != login.ReturnTo || got.Verifier != login.Verifier {
			t.Errorf("got %+v, %v", got, err)
		}
		cookies = slices.DeleteFunc(cookies, func(c *http.Cookie) bool { return c.Name == name })
	}
	if len(cookies) != 0 {
		t.Errorf("%d are left", len(cookies))
	}
}

// A keyring that cannot be read now is not a login that is unknown; and a
// callback without a cookie costs no storage.
func TestLoginWithoutKeyring(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	login := w.newLogin("/")
	cookie := w.cookie(login)
	away, asked := errors.New("storage is away"), 0
	w.rp.config.Keyring = func(context.Context) (*keyring.Keyring, error) { asked++; return nil, away }
	_, _, err := w.rp.LoginCookie(t.Context(), testPrefix, login)
	failsAs(t, err, away, "sealing a login")
	_, _, err = w.rp.FindLogin(t.Context(), testPrefix, []*http.Cookie{cookie}, login.State)
	failsAs(t, err, away, "opening a login")
	_, _, err = w.rp.FindLogin(t.Context(), testPrefix, []*http.Cookie{{Name: testPrefix + "login_x_y", Value: "z"}}, login.State)
	failsAs(t, err, ErrLoginUnknown, "")
	if asked != 2 {
		t.Errorf("the keyring was asked for %d times, want 2", asked)
	}
}

func TestLoginCookies(t *testing.T) {
	t.Parallel()
	names := []string{
		"login_hteka_c", "other", "login_htek9_b", "login_hteka_d", testPrefix, testPrefix + "login_", testPrefix + "login_hteka_b",
		testPrefix + "login_hteka_a", testPrefix + "login_zzzzz_e", testPrefix + "login_9_f", testPrefix + "login_!_g",
		testPrefix + "login_zzzzzzzzzzzzzzzzzzzz_h", strings.ToLower(testPrefix) + "login_1_i", testPrefix + "login",
	}
	cookies := make([]*http.Cookie, len(names))
	for i, name := range names {
		cookies[i] = &http.Cookie{Name: name}
	}
	var got []string
	for _, name := range LoginCookies(testPrefix, cookies) {
		got = append(got, strings.TrimPrefix(name, testPrefix))
	}
	want := []string{"login_", "login_!_g", "login_zzzzzzzzzzzzzzzzzzzz_h", "login_9_f", "login_hteka_b", "login_hteka_a", "login_zzzzz_e"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := LoginCookies(testPrefix, nil); len(got) != 0 {
		t.Errorf("got %q", got)
	}
}

// The oldest go first: the order is that of the logins, not of the names.
func TestLoginCookiesOldestFirst(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	want, cookies := make([]string, 8), make([]*http.Cookie, 8)
	for i := range want {
		cookies[7-i] = w.cookie(w.newLogin("/"))
		want[i] = cookies[7-i].Name
		w.Advance(40 * 24 * time.Hour) // over a change in the number's length too
	}
	if got := LoginCookies(testPrefix, cookies); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Where to return to is checked when it is stored and when it is used.
func TestFindLoginChecksTheWayBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	login := w.newLogin("/")
	login.ReturnTo = "//evil.example"
	cookie := w.cookie(login)
	got, _, err := w.rp.FindLogin(t.Context(), testPrefix, cookies(cookie), login.State)
	if err != nil || got.ReturnTo != "/" {
		t.Errorf("got %+v, %v", got, err)
	}
}

func FuzzFindLogin(f *testing.F) {
	ring := newKeyring(f, "gate", 1)
	rp := New(Config{
		Issuer: testIssuer, Client: newBrokenClient(),
		Keyring: func(context.Context) (*keyring.Keyring, error) { return ring, nil },
		Now:     func() time.Time { return time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC) },
	})
	name, value, err := rp.LoginCookie(f.Context(), testPrefix, &Login{State: "s", Expires: rp.config.Now().Add(time.Minute)})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(name+"="+value, "s")
	f.Add(name+"="+value+"; "+name+"=x", "s")
	f.Add(name+"=\""+value+"\"", "s")
	f.Add(name+"="+value+"=", "s")
	f.Add(testPrefix+"login__=x", "")
	f.Add(testPrefix+"login_"+"_"+stateHash("t")+"="+value, "t")
	f.Add(strings.Repeat(testPrefix+"login_1_"+stateHash("s")+"=; ", 50), "s")
	f.Fuzz(func(t *testing.T, header, state string) {
		r := &http.Request{Header: http.Header{"Cookie": {header}}}
		login, found, err := rp.FindLogin(context.Background(), testPrefix, r.Cookies(), state)
		if err == nil && (state != "s" || login.State != "s" || found != name) {
			t.Errorf("took %q for %q", header, state)
		}
		if len(LoginCookies(testPrefix, r.Cookies())) > len(r.Cookies()) {
			t.Error("more logins than cookies")
		}
	})
}

func cookies(all ...*http.Cookie) []*http.Cookie { return all }
