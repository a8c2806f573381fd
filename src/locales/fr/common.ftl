# Les mots et les règles communs aux deux programmes.

state-pending = En attente
state-approved = Approuvée
state-rejected = Rejetée
state-cancelled = Annulée
state-expired = Expirée
state-installed = Installé
state-downloaded = Téléchargé
state-revoked = Révoqué

kind-workstation = Poste de travail
kind-server = Serveur
kind-external-server = Serveur externe
kind-mobile = Mobile

role-registration-manager = gestionnaire d’enregistrement
role-ptc-manager = gestionnaire du CTP

store-machine = machine
store-user = utilisateur

revocation-unspecified = Non précisé
revocation-key-compromise = Clé compromise
revocation-affiliation-changed = Changement d’affiliation
revocation-superseded = Remplacé
revocation-cessation-of-operation = Cessation d’activité
revocation-privilege-withdrawn = Droits retirés

finding-plain = { $field } : { $rule }
finding-found = { $field } : { $rule } (trouvé : { $found })
finding-expected = { $field } : { $rule } (attendu : { $expected })
finding-found-expected = { $field } : { $rule } (trouvé : { $found } ; attendu : { $expected })

rule-not-a-csr = ce n’est pas une demande de certificat (CSR)
rule-private-key = c’est une clé privée ; elle ne doit jamais quitter sa machine et n’a pas été envoyée
rule-truncated = la fin manque
rule-trailing-bytes = des octets suivent la fin de la demande
rule-not-der = l’encodage n’est pas DER
rule-too-large = plus grand que toute demande réelle
rule-signature = la signature ne correspond pas à la clé
rule-signature-algorithm = l’algorithme de signature n’est pas accepté
rule-key-type = le type ou la taille de la clé n’est pas accepté
rule-weak-key = la clé est faible
rule-subject-mismatch = la valeur n’est pas celle du paquet d’installation
rule-subject-missing = la valeur manque
rule-subject-repeated = la valeur figure plus d’une fois
rule-subject-unexpected = cet attribut n’a pas sa place dans le sujet
rule-too-long = la valeur est trop longue
rule-bad-text = la valeur contient des caractères interdits
rule-not-a-host-name = il faut un nom d’hôte public
rule-not-a-machine-name = seuls les lettres ASCII, les chiffres, « - », « _ » et « . » sont admis, 64 au plus
rule-san-unexpected = ce type de nom alternatif n’a pas sa place ici
rule-not-an-email = ce n’est pas une adresse électronique
rule-key-usage = l’usage de la clé n’est pas celui attendu
rule-extended-key-usage = l’usage étendu de la clé n’est pas celui attendu
rule-ca-rights = les droits d’une autorité de certification sont demandés
rule-bad-extension = l’extension est vide, répétée ou illisible
rule-unknown-critical = une extension critique inconnue ici
rule-mixed-script = le nom mélange des écritures dont les lettres se ressemblent
rule-duplicate-key = la même clé est utilisée par une autre demande
rule-duplicate-mac = la même adresse MAC est indiquée par une autre demande
rule-duplicate-host = le même nom d’hôte est indiqué par une autre machine
rule-duplicate-name = le même nom commun est demandé par une autre organisation

column-common-name = Nom commun
column-kind = Type
column-request = Demande
column-state = État
column-submitted = Soumise (UTC)
