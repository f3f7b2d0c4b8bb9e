// docs/moving-in.md: a RomM that already has users gets the gate, and each user
// keeps their account. The way back works, too.

package tests

import (
	"net/http"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddytest"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
	"github.com/romm-oidc/caddy-romm-oidc/tests/romm"
)

// former is how users signed in before.
type former struct {
	site     string              // what stood in the site; %s is RomM's address
	romm     func(*romm.Options) // RomM's variables
	signIn   func(*browser, romm.User)
	accounts []romm.User // alice's, bob's and carol's
	moved    string      // an address that changed at Authelia since: bob's
}

const plainProxy = "reverse_proxy %s {\n" + freshConnections + "\n}"

// withOwnProvider are RomM's variables for Authelia without the gate.
func withOwnProvider(o *romm.Options) {
	o.OIDC = romm.OIDC{
		Enabled: true, Provider: "authelia", Autologin: true, ClientID: "romm", ClientSecret: "insecure_secret",
		RedirectURI: public + base, ServerURL: issuer, HTTPClient: &http.Client{Transport: transport},
	}
}

func withoutOIDC(o *romm.Options) { o.OIDC = romm.OIDC{} }

// withTheGate are the variables that the page gives.
func withTheGate(t *testing.T) func(*romm.Options) {
	t.Helper()
	_, block, ok := strings.Cut(readFile(t, "../docs/moving-in.md"), "```sh\nOIDC_ENABLED=")
	block, _, _ = strings.Cut("OIDC_ENABLED="+block, "```")
	variables := map[string]string{}
	for line := range strings.Lines(strings.NewReplacer("https://romm.example.com", public, "http://caddy:9080", inside, "the-secret", "insecure_secret").Replace(block)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		variables[name] = value
	}
	if !ok || len(variables) != 11 {
		t.Fatalf("docs/moving-in.md has the variables %v, want 11", variables)
	}
	register := variables["OIDC_ALLOW_REGISTRATION"] != "false"
	return func(o *romm.Options) {
		o.OIDC = romm.OIDC{
			Enabled: variables["OIDC_ENABLED"] == "true", Autologin: variables["OIDC_AUTOLOGIN"] == "true",
			Provider: variables["OIDC_PROVIDER"], ClientID: variables["OIDC_CLIENT_ID"], ClientSecret: variables["OIDC_CLIENT_SECRET"],
			RedirectURI: variables["OIDC_REDIRECT_URI"], ServerURL: variables["OIDC_SERVER_APPLICATION_URL"],
			ClaimRoles: variables["OIDC_CLAIM_ROLES"], RoleAdmin: variables["OIDC_ROLE_ADMIN"], RoleViewer: variables["OIDC_ROLE_VIEWER"],
			AllowRegistration: &register,
		}
	}
}

// byProvider signs in at RomM by RomM's own OpenID Connect sign-in.
func byProvider(b *browser, account romm.User) {
	b.t.Helper()
	user, _, _ := strings.Cut(account.Username, "_")
	answer := b.open("/api/login/openid")
	callback, err := b.authelia.SignIn(b.client, answer.Header.Get("Location"), user, user+"-password")
	if err != nil {
		b.t.Fatal(err)
	}
	if answer := b.open(callback); answer.StatusCode != http.StatusTemporaryRedirect {
		b.t.Fatalf("RomM's own callback answered %d, want 307: %s", answer.StatusCode, answer.body)
	}
}

// byPassword signs in at RomM with the account's password.
func byPassword(b *browser, account romm.User) {
	b.t.Helper()
	request := b.request("POST /api/login", nil, b.csrf()...)
	request.SetBasicAuth(account.Username, account.Password)
	if answer := b.sendRequest(request); answer.StatusCode != http.StatusOK {
		b.t.Fatalf("RomM's login of %s answered %d, want 200: %s", account.Username, answer.StatusCode, answer.body)
	}
}

// loadFormer makes the site what it was without the gate.
func (s *stack) loadFormer(f former) {
	s.t.Helper()
	config := s.caddyfile(options{site: f.site})
	gate := config[strings.Index(config, "\tromm_oidc {"):]
	gate = gate[:strings.Index(gate, "\n\t}\n")+len("\n\t}\n")]
	config = strings.Replace(strings.Replace(config, gate, "", 1), ", "+inside+" {", " {", 1)
	s.tester.InitServer(config, "caddyfile")
	s.settled(func(status int) bool { return status != http.StatusFound })
	s.romm.Configure(f.romm)
}

// settled waits until the configuration that was loaded answers, by the status of
// an anonymous page. For a moment, the former one may still take a connection.
func (s *stack) settled(ok func(status int) bool) {
	s.t.Helper()
	eventually(s.t, func() bool {
		b := s.browser()
		answer, err := b.try(b.request("/", nil, "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"))
		return err == nil && ok(answer.StatusCode)
	})
}

// oneConnectionEach makes browsers keep no connection, so that none outlives the
// configuration that accepted it.
func oneConnectionEach(t *testing.T) {
	t.Helper()
	before := transport
	transport = caddytest.CreateTestingTransport()
	transport.DisableKeepAlives = true
	t.Cleanup(func() { transport = before })
}

// wantAccount fails unless b is signed in to the account with this number.
func (b *browser) wantAccount(account romm.User) {
	b.t.Helper()
	if me := b.fetch("/api/users/me"); !strings.Contains(me.body, `"id":`+itoa(account.ID)+`,`) || !strings.Contains(me.body, `"role":"`+account.Role+`"`) {
		b.t.Errorf("/api/users/me answered %d, want the account %d of %s, role %s: %s", me.StatusCode, account.ID, account.Username, account.Role, me.body)
	}
}

func TestMovingIn(t *testing.T) {
	oneConnectionEach(t)
	forwarded := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if cookie, err := r.Cookie("authelia_session"); err != nil || cookie.Value == "" {
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	local := []romm.User{ // no address, another address, another name
		{Username: "alice", Password: "alices-own", Role: "admin"},
		{Username: "bob", Password: "bobs-own", Email: "bob@former.example.com", Role: "user"},
		{Username: "caz", Password: "carols-own", Role: "user"},
	}
	for name, f := range map[string]former{
		"from RomM's own OpenID Connect": {
			site: plainProxy, romm: withOwnProvider, signIn: byProvider, moved: "bob@new.example.com",
			accounts: []romm.User{
				{Username: "alice", Email: "alice@example.com", Role: "admin"},
				{Username: "bob", Email: "bob@example.com", Role: "user"},
				{Username: "carol", Email: "carol@example.com", Role: "user"},
			},
		},
		"from forward auth": {
			site: "forward_auth " + strings.TrimPrefix(forwarded, "http://") + " {\n\turi /api/authz/forward-auth\n\tcopy_headers Remote-User\n}\n" + plainProxy,
			romm: withoutOIDC, accounts: local,
			signIn: func(b *browser, account romm.User) {
				b.client.Transport = cookieTransport{"authelia_session=signed-in"}
				byPassword(b, account)
			},
		},
		"from local accounts": {site: plainProxy, romm: withoutOIDC, signIn: byPassword, accounts: local},
	} {
		t.Run(name, func(t *testing.T) { moveIn(t, f) })
	}
}

// cookieTransport adds a cookie that Authelia's portal gave.
type cookieTransport struct{ cookie string }

func (c cookieTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Add("Cookie", c.cookie)
	return transport.RoundTrip(r)
}

// moveIn goes the way of the page, and back.
func moveIn(t *testing.T, f former) {
	t.Helper()
	s := start(t, options{authelia: func(o *authelia.Options) {
		o.Clients[0].RequirePKCE = false // RomM's own sign-in has none
		o.Clients[0].ClaimsPolicy = []string{"email", "email_verified", "preferred_username", "name"}
		o.Users = append(o.Users, authelia.User{Name: "erin", Password: "erin-password", Email: "erin@example.com"})
	}})
	s.loadFormer(f)
	logins, accounts := []string{"alice", "bob", "carol"}, make([]romm.User, 3)
	var administrator *browser
	for i, account := range f.accounts {
		accounts[i] = s.romm.AddUser(account)
		b := s.browser()
		f.signIn(b, accounts[i])
		b.wantAccount(accounts[i])
		if i == 0 {
			administrator = b
		}
	}
	token := "Bearer " + s.romm.NewClientToken(accounts[2].Username, "me.read", "roms.read")
	address := func(i int, email string) { administrator.change(accounts[i], "email="+email) }
	addresses := []string{"alice@example.com", "bob@example.com", "carol@example.com"}
	if f.moved != "" {
		s.authelia.SetEmail("bob", f.moved)
		addresses[1] = f.moved
	}

	// 1. Addresses. Carol's is forgotten, where she had none.
	address(0, addresses[0])
	address(1, addresses[1])
	// 2. and 3. RomM's variables and the Caddyfile.
	s.romm.Configure(withTheGate(t))
	gate := options{}
	s.load(gate)
	s.settled(func(status int) bool { return status == http.StatusFound })
	// 4. Each signs in once, the administrator first.
	administrator = s.as("alice")
	administrator.wantAccount(accounts[0])
	s.as("bob").wantAccount(accounts[1])
	if answer := s.browser().do("/api/roms", "Authorization", token); answer.StatusCode != http.StatusOK {
		t.Errorf("carol's handheld got %d, want 200: %s", answer.StatusCode, answer.body)
	}
	if accounts[2].Email == "" {
		s.problem(s.browser().signIn("/", "carol"), http.StatusForbidden, "registration_off")
		address(2, addresses[2])
	}
	s.as("carol").wantAccount(accounts[2])
	if all := s.romm.Users(); len(all) != 3 {
		t.Errorf("RomM has %d accounts, want 3: %+v", len(all), all)
	}
	list, code := s.command("links", "list")
	for i, login := range logins {
		if !strings.Contains(list, accounts[i].Username) || !strings.Contains(list, addresses[i]) {
			t.Errorf("links list exited with %d and lacks the account of %s:\n%s", code, login, list)
		}
	}
	// 5. New users get accounts again, and Authelia decides on roles.
	s.romm.Configure(func(o *romm.Options) { o.OIDC.AllowRegistration = nil })
	gate.directive = rolesByMail
	s.load(gate)
	s.as("erin").wantUser("erin")
	s.as("alice").wantAccount(accounts[0])

	// Back: addresses that changed, and passwords of new accounts.
	address(1, "bob@elsewhere.example.com")
	s.as("bob").wantAccount(accounts[1])
	address(1, addresses[1])
	erin, _ := s.romm.User("erin")
	administrator.change(erin, "password=erins-own")
	erin.Password = "erins-own"
	s.loadFormer(f)
	for _, account := range append(accounts, erin) {
		b := s.browser()
		f.signIn(b, account)
		b.wantAccount(account)
	}

	// And in once more.
	s.romm.Configure(withTheGate(t))
	s.load(gate)
	s.settled(func(status int) bool { return status == http.StatusFound })
	for i, login := range logins {
		s.as(login).wantAccount(accounts[i])
	}
}

// A user signed in before their account had an address, and got a second, empty
// one. The page's way out leads to the account with their saves.
func TestMovingInSecondAccount(t *testing.T) {
	s := start(t, options{directive: rolesByMail})
	s.romm.AddUser(root)
	own := s.romm.AddUser(romm.User{Username: "caz", Password: "carols-own", Role: "user"})
	s.as("carol").wantUser("carol")
	if output, code := s.command("links", "forget", "carol"); code != 0 {
		t.Fatalf("links forget exited with %d, want 0: %s", code, output)
	}
	s.romm.DeleteUser("carol")
	s.romm.SetEmail("caz", "carol@example.com")
	again := s.as("carol")
	again.wantAccount(own)
	if list, _ := s.command("links", "list"); strings.Count(list, "carol@example.com") != 1 {
		t.Errorf("carol has not one link:\n%s", list)
	}
}
