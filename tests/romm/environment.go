// The stand-in reads what an operator gives to the original: files with
// environment variables.

package romm

import "strings"

// Read returns the options for environment files. As in the original, a value is
// what stands behind the "=", quotes included, and variables that the stand-in does
// not know have no effect.
func Read(files ...[]byte) Options {
	values := map[string]string{}
	for _, file := range files {
		for line := range strings.Lines(string(file)) {
			if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(name, "#") {
				values[name] = value
			}
		}
	}
	var origins []string
	if list := values["ROMM_CORS_ALLOWED_ORIGINS"]; list != "" && list != "*" {
		origins = strings.Split(list, ",")
	}
	isTrue := func(name string) bool { return values[name] == "true" }
	return Options{
		SecretKey: values["ROMM_AUTH_SECRET_KEY"], SecureCookies: isTrue("ROMM_SESSION_SECURE_COOKIE"),
		DisableUserpassLogin: isTrue("DISABLE_USERPASS_LOGIN"), CORSAllowedOrigins: origins,
		OIDC: OIDC{
			Enabled: isTrue("OIDC_ENABLED"), Autologin: isTrue("OIDC_AUTOLOGIN"), Provider: values["OIDC_PROVIDER"],
			ClientID: values["OIDC_CLIENT_ID"], ClientSecret: values["OIDC_CLIENT_SECRET"], RedirectURI: values["OIDC_REDIRECT_URI"],
			ServerURL: values["OIDC_SERVER_APPLICATION_URL"], ClaimRoles: values["OIDC_CLAIM_ROLES"],
			RoleAdmin: values["OIDC_ROLE_ADMIN"], RoleViewer: values["OIDC_ROLE_VIEWER"],
		},
	}
}
