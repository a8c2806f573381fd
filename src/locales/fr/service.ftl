# Ce que dit le service : problèmes, refus, et la sortie de ptc-enrollment.

problem-malformed = La demande est illisible : { $detail }
    .title = Demande illisible
    .hint = Comparez-la à la description de l’API sous /api/v1/openapi.json.
problem-unauthenticated = Aucune preuve d’identité valable n’accompagne la demande.
    .title = Identification nécessaire
    .hint = Envoyez le secret d’enrôlement du paquet d’installation, le jeton de la demande ou un certificat client valable.
problem-forbidden = Ceci n’est pas permis : { $detail }
    .title = Non autorisé
    .hint = Demandez au gestionnaire du CTP qui en a le droit.
problem-cross-site = Un navigateur a envoyé ceci pour le compte d’un autre site.
    .title = Demande d’un autre site
    .hint = Ouvrez la page de ce service même et réessayez.
problem-kind-not-allowed = Le paquet d’installation ne permet pas de demandes du type « { $kind } ».
    .title = Type non autorisé
    .hint = Demandez au gestionnaire du CTP un paquet d’installation qui le permet.
problem-own-request = Personne ne décide de sa propre demande.
    .title = Demande propre
    .hint = Demandez à un autre gestionnaire de décider.
problem-caller-revoked = Le certificat présenté est révoqué ou échu, ou son titulaire est désactivé.
    .title = Certificat plus valable
    .hint = Demandez un nouveau certificat au gestionnaire du CTP.
problem-not-found = Ceci n’existe pas ici, ou pas pour vous.
    .title = Introuvable
    .hint = Vérifiez le numéro ou le nom.
problem-method-not-allowed = Le chemin existe, mais pas avec cette méthode.
    .title = Méthode non admise
    .hint = Comparez la demande à la description de l’API sous /api/v1/openapi.json.
problem-state-conflict = Ce n’est plus possible : { $detail }
    .title = Conflit d’état
    .hint = Chargez l’état actuel et décidez à nouveau.
problem-already-exists = { $what } existe déjà.
    .title = Existe déjà
    .hint = Choisissez un autre nom, ou utilisez ce qui existe.
problem-superseded = Ce qui a été montré n’est plus ce qui est là : { $detail }
    .title = Remplacé
    .hint = Chargez l’état actuel et décidez à nouveau.
problem-body-too-large = Le corps dépasse la limite de { $limit } octets.
    .title = Corps trop grand
    .hint = Envoyez-en moins à la fois.
problem-unsupported-media-type = Le corps n’est pas du JSON.
    .title = JSON attendu
    .hint = Envoyez-le avec « Content-Type: application/json ».
problem-request-timeout = Le corps de la requête n’est pas arrivé à temps.
    .title = Délai de la requête dépassé
    .hint = Renvoyez-la ; si cela persiste, vérifiez la connexion.
problem-csr-refused = La demande de certificat (CSR) enfreint des règles.
    .title = Demande de certificat (CSR) refusée
    .hint = Faites une nouvelle demande qui respecte toutes les règles citées.
problem-idempotency-mismatch = La clé d’idempotence a déjà servi, avec un autre corps.
    .title = Clé d’idempotence déjà utilisée
    .hint = Prenez une nouvelle clé pour une nouvelle demande.
problem-invalid-field = { $field } n’est pas valable : { $detail }
    .title = Champ non valable
    .hint = Corrigez le champ et renvoyez.
problem-too-many-requests = Trop d’appels ; le prochain recevra une réponse dans { $seconds } s.
    .title = Trop d’appels
    .hint = Attendez le temps indiqué par Retry-After, puis réessayez.
problem-internal = Le service a échoué.
    .title = Erreur interne
    .hint = Réessayez ; si cela persiste, donnez l’identifiant de la demande à l’assistance.
problem-unavailable = Le service ne peut pas répondre maintenant.
    .title = Momentanément indisponible
    .hint = Attendez le temps indiqué par Retry-After, puis réessayez.
problem-unconfirmed = La base de données n’a pas dit si cela a été fait.
    .title = Résultat inconnu
    .hint = Vérifiez avant de recommencer. Une demande peut être renvoyée avec la même clé d’idempotence.

file-exists = { $path } existe déjà et n’est pas écrasé.
    .hint = Choisissez un autre emplacement, ou déplacez d’abord ce qui s’y trouve.
file-missing = { $path } manque.
    .hint = Vérifiez le chemin ; si le fichier existait, restaurez-le depuis une sauvegarde.
file-too-open = { $path } contient un secret que d’autres comptes peuvent lire (droits { $mode }).
    .hint = Si personne d’autre ne l’a lu : chmod 600 { $path }
file-open-folder = Le dossier { $path } contient un secret et d’autres comptes peuvent en remplacer les fichiers (droits { $mode }).
    .hint = Si personne ne l’a fait : chmod go-w { $path }
file-foreign-owner = { $path } contient un secret et appartient à un autre compte (numéro { $owner }).
    .hint = Lancez la commande avec ce compte ou comme root, ou rendez le fichier à son propriétaire : chown
file-current-folder = { $path } est le dossier où vous vous trouvez et serait remplacé sous vos pieds.
    .hint = Lancez la commande depuis un autre dossier, avec ce chemin.
file-mount-point = { $path } est un point de montage et ne peut pas être remplacé d’un coup.
    .hint = Pour un dossier, nommez-en un à l’intérieur. Pour un fichier, montez plutôt le dossier qui le contient.
file-system = { $path } ne peut être ni lu ni écrit : { $cause }
    .hint = Vérifiez le chemin, ses droits et l’espace libre.

credential-malformed = { $path } ne contient pas ce que dit son nom (PEM ; un .crl : DER).
    .hint = Restaurez le fichier depuis une sauvegarde.
credential-mismatch = La clé { $key } et le certificat { $certificate } ne vont pas ensemble.
    .hint = Restaurez les deux fichiers depuis la même sauvegarde.
credential-locked = La clé { $path } est chiffrée et il n’y a pas de phrase secrète pour elle.
    .hint = Une clé de l’AC : indiquez le fichier de la phrase secrète par ca_passphrase_file dans enrollment.toml, ou donnez-la comme credential ca-passphrase de systemd. Toute autre clé ne doit pas être chiffrée.
credential-wrong-passphrase = La phrase secrète n’ouvre pas la clé { $path }.
    .hint = Vérifiez le fichier indiqué par ca_passphrase_file, ou le credential ca-passphrase de systemd. Si un changement de phrase secrète a été interrompu, relancez « ca encrypt-keys ».
credential-pkcs12 = La clé et le certificat ne peuvent pas être mis dans un fichier PKCS #12 : { $cause }
    .hint = Utilisez les fichiers PEM et donnez le journal à l’assistance.
credential-generation = Aucune clé ne peut être créée : { $cause }
    .hint = Vérifiez le générateur de nombres aléatoires du système.

ca-chain = Dans { $folder }, issuing.crt.pem n’a pas été émis par root.crt.pem.
    .hint = Restaurez les deux fichiers depuis la même sauvegarde.
ca-encoding = Le certificat ou la liste ne peut pas être encodé : { $cause }
    .hint = Cherchez des caractères interdits dans les noms et dans l’URL de la LCR.
ca-lint = Rien n’a été signé, car ces règles sont enfreintes : { $rules }
    .hint = Vérifiez l’horloge, la durée de vie de l’AC et les noms demandés.
ca-signature = Ce qui a été signé n’est pas ce qui a été vérifié ; le résultat a été jeté.
    .hint = Vérifiez la mémoire de la machine et les fichiers de l’AC, et donnez le journal à l’assistance.
token-module = Le module PKCS #11 { $module } ne peut pas être chargé : { $cause }
    .hint = Vérifiez « module » sous [pkcs11] dans enrollment.toml : le chemin complet de la bibliothèque (SoftHSM dans Debian : le paquet softhsm2, /usr/lib/softhsm/libsofthsm2.so), que ce compte doit pouvoir lire.
token-not-started = Le module PKCS #11 { $module } ne démarre pas : { $cause }
    .hint = Vérifiez la configuration du module lui-même (SoftHSM : SOFTHSM2_CONF et le dossier qu’il indique), et si son appareil ou son serveur est en marche.
token-absent = Il n’y a pas de jeton { $token } dans { $module }. Il y a : { $others }
    .hint = Vérifiez l’appareil et sa connexion, puis « token » et « token_serial » sous [pkcs11] dans enrollment.toml, et si ce compte peut atteindre le jeton.
token-ambiguous = Plusieurs jetons s’appellent { $token }.
    .hint = Indiquez le numéro de série de l’un d’eux par « token_serial » sous [pkcs11] dans enrollment.toml.
token-wrong-pin = Le jeton { $token } n’accepte pas le code PIN. Il a été essayé une fois et ne le sera plus.
    .hint = Corrigez le fichier indiqué par « pin_file » sous [pkcs11], ou le credential ca-pin de systemd, avant de relancer quoi que ce soit : quelques essais erronés verrouillent bien des jetons.
token-locked-pin = Le jeton { $token } n’accepte plus aucun code PIN : il est verrouillé.
    .hint = Faites définir un nouveau code par le responsable de sécurité du jeton, puis corrigez pin_file ou le credential ca-pin de systemd.
token-last-attempt = Un essai erroné de plus verrouillerait le jeton { $token } ; aucun code n’a donc été essayé.
    .hint = Cherchez qui en a essayé d’erronés. Corrigez pin_file ou le credential ca-pin de systemd, et ouvrez une fois le jeton avec l’outil du fabricant : il recompte alors depuis le début.
token-no-key = Il n’y a pas de clé privée { $key } dans le jeton { $token }.
    .hint = Vérifiez « key » et « key_id » sous [pkcs11] dans enrollment.toml. Si la clé a été supprimée, restaurez le jeton depuis sa sauvegarde : sans la clé, l’AC ne signe rien.
token-many-keys = Il y a plusieurs clés privées { $key } dans le jeton { $token }.
    .hint = Distinguez-les par « key_id » sous [pkcs11] dans enrollment.toml.
token-key-exists = Quelque chose s’appelle déjà { $key } dans le jeton { $token } ; aucune clé n’a été créée.
    .hint = Choisissez un autre nom avec --pkcs11-key. Si un « init » a été interrompu sans laisser d’installation, supprimez la clé avec l’outil du fabricant.
token-wrong-key = La clé { $key } dans le jeton { $token } n’est pas celle d’issuing.crt.pem.
    .hint = Vérifiez « key » et « key_id » sous [pkcs11] dans enrollment.toml, et que ca/ et le jeton sont de la même AC.
token-extractable = Le jeton { $token } laisserait sortir la clé { $key } ; elle a donc été supprimée.
    .hint = Vérifiez les règles du jeton pour les nouvelles clés : elles doivent être sensibles et non extractibles.
token-call = Le jeton { $token } ne fait pas ce qu’il faut : { $cause }
    .hint = Vérifiez l’appareil et sa connexion ; ce qui n’est pas signé maintenant le sera au retour du jeton. Si cela persiste, demandez au fabricant ce que la cause veut dire.
ca-random = Le système ne fournit pas de nombres aléatoires.
    .hint = Vérifiez le générateur de nombres aléatoires du système.

tls-configuration = Le certificat TLS du service ou sa clé est inutilisable : { $cause }
    .hint = Vérifiez les fichiers sous tls/ dans le dossier du service.

package-settings = Les paramètres du paquet ne peuvent pas être écrits : { $cause }
    .hint = Vérifiez le nom de l’organisation et les URL du service.
package-key = La clé du signataire de paquets ne peut pas signer.
    .hint = Restaurez les fichiers sous package-signer/ depuis une sauvegarde ; la clé doit être EC P-256.
package-manifest = Les clients refuseraient le paquet : { $cause }
    .hint = Vérifiez l’horloge et faites renouveler le certificat du signataire de paquets.
package-zip = Le fichier zip ne peut pas être écrit : { $cause }
    .hint = Réessayez avec un dossier au lieu d’un zip.
package-readme =
    PTC Enroll : paquet d’installation

    Organisation :   { $organisation }
    Environnement :  { $environment }
    Service :        { $url }
    Enrôle :         { $kind } (magasin : { $store })

    1. Décompressez le tout dans un dossier de la machine et gardez le dossier « config » tel quel.
    2. Ouvrez une console dans ce dossier (en tant qu’administrateur si le magasin est « machine ») et tapez la
       ligne suivante ; dans PowerShell avec « .\ » devant, si le programme est aussi dans le dossier :

           ptc-enroll --home . submit

       La commande demande ce qu’elle doit savoir et dit qui approuvera la demande.
    3. Quand la demande est approuvée, tapez :

           ptc-enroll --home . fetch
           ptc-enroll --home . test

    Le fichier « enrollment-secret » permet à son détenteur de demander des certificats au nom de l’organisation.
    Réservez-le aux administrateurs et n’envoyez pas le paquet par simple courriel.
    S’il est tombé en d’autres mains, prévenez le gestionnaire du CTP, qui fera un nouveau paquet.

# Ce dont une opération a besoin.
database-missing = Il n’y a pas de base de données à { $path }.
    .hint = Faites une installation avec « ptc-enrollment init », ou indiquez son dossier avec --home.
database-empty = Il n’y a rien de ce service dans la base de données { $path }.
    .hint = Restaurez la base de données depuis une sauvegarde ; ne démarrez pas le service sans elle.
database-foreign = La base de données { $path } n’appartient pas à l’AC qui se trouve à côté d’elle.
    .hint = Restaurez la base de données et l’AC depuis la même sauvegarde.
database-newer = Une version plus récente de ce programme a créé la base de données { $path }.
    .hint = Utilisez cette version, ou restaurez la sauvegarde d’avant la mise à jour.
database-unusable = La base de données { $path } ne peut pas être ouverte : { $cause }
    .hint = Vérifiez ses droits et l’espace libre ; si elle est endommagée, restaurez une sauvegarde.
database-not-admitted = Le serveur n’ouvre pas la base de données { $path } : { $said }
    .hint = Créez ce qui manque (createuser, createdb), ou corrigez l’adresse et le compte ; docs/operations.md explique comment.
database-moved = La base de données a été déplacée vers un serveur, et plus rien n’est écrit ici.
    .hint = enrollment.toml nomme le serveur quand le déplacement est fait. S’il a été interrompu, relancez « ptc-enrollment database move ».
database-unavailable = La base de données ne peut pas répondre maintenant : { $cause }
    .hint = Vérifiez l’espace libre, que le serveur de bases de données tourne et qu’aucun autre processus ne tient la base ; puis réessayez.
database-occupied = La base de données { $path } contient déjà quelque chose.
    .hint = Donnez-en une vide, faite pour cette installation (createdb) ; dropdb efface celle dont personne n’a besoin.
database-unfinished = La base de données { $path } n’est pas complète : « database move » a été interrompu en la remplissant. Ce qui fait foi est dans { $file }.
    .hint = Retirez database et database_password_file d’enrollment.toml, puis relancez « ptc-enrollment database move ».
database-unfit = La base de données { $path } ne convient pas : { $what }
    .hint = docs/operations.md dit ce que le serveur doit être.
database-too-old = PostgreSQL { $version } est trop ancien ; il faut au moins la version 13.
database-encoding = son codage est { $encoding }, or il faut UTF8.
database-no-right = ce compte ne peut pas y créer de tables (GRANT CREATE ON SCHEMA, et ON DATABASE pour l’extension).
database-no-search = l’extension pg_trgm manque ; elle vient avec le paquet du serveur, ou avec postgresql-contrib.
database-unconfirmed = La connexion à la base de données s’est rompue pendant l’enregistrement d’une modification. On ne sait pas si elle a été enregistrée : { $cause }
    .hint = Vérifiez si elle a été faite avant de recommencer.
database-query = La base de données ne fait pas ce qui est demandé : { $cause }
    .hint = Donnez le journal à l’assistance.
service-inconsistent = Le service ne peut pas continuer : { $cause }
    .hint = Donnez le journal à l’assistance.
settings-missing = Il n’y a pas d’installation dans { $home }.
    .hint = Faites-en une avec « ptc-enrollment init », ou indiquez son dossier avec --home ou PTC_ENROLLMENT_HOME.
settings-syntax = { $path }, ligne { $line } : { $cause }
    .hint = Comparez le fichier à config/enrollment.toml, qui explique chaque paramètre.
settings-value = Le paramètre { $setting } vaut « { $found } » ; attendu : { $expected }.
    .hint = Corrigez-le dans enrollment.toml ou sur la ligne de commande.
auto-approve-refused = Rien n’est approuvé automatiquement dans l’environnement « prod ».
    .hint = Démarrez le service sans --auto-approve.
auto-approve-warning = ATTENTION : toute demande dans l’environnement « { $environment } » est approuvée automatiquement, sans que personne la regarde.
install-failed = L’installation a échoué : { $cause }
    .hint = Rien n’a été laissé ; corrigez la cause et réessayez.
serve-listen = Le service ne peut pas écouter sur { $address } : { $cause }
    .hint = Arrêtez ce qui utilise le port, ou changez public_listen, secure_listen, http_listen ou operations_listen dans enrollment.toml.
system-refused = Le système a refusé : { $cause }
disk-full = Il n’y a pas de place pour ce qui est écrit : { $cause }
    .hint = Libérez de l’espace ou indiquez un emplacement sur un autre disque, puis réessayez.
audit-broken = Le journal d’audit a été modifié : l’entrée { $sequence } ne suit pas la précédente, ou des entrées manquent à cet endroit.
    .hint = Gardez la base de données telle quelle pour une enquête et comparez-la à la dernière sauvegarde.

# Ce qui est attendu d’un champ.
expected-at-most = { $limit } caractères au plus sont admis
expected-count = de 1 à { $limit } à la fois sont admis
expected-country = deux lettres majuscules (ISO 3166-1) sont attendues
expected-email = une adresse de la forme nom@operateur.example est attendue
expected-environment = 1 à 32 lettres minuscules, chiffres et traits d’union, une lettre d’abord
expected-https-url = une URL de la forme https://hôte[:port]
expected-database = une URL de la forme postgres://compte@hôte/base, ou postgres:///base?host=/dossier/du/socket
expected-no-password = une URL sans mot de passe ; database_password_file nomme le fichier qui le contient
expected-protected-database = sslmode=verify-full dans l’URL, car le serveur est un autre ordinateur
expected-no-nul = du texte sans le caractère NUL
expected-positive = un nombre supérieur à 0
expected-at-most-number = un nombre d’au plus { $limit }
expected-http-url = une URL de la forme http://hôte[:port]
expected-both-http = http_url et http_listen, les deux ou aucun
expected-host = un nom d’hôte sans port
expected-protected-mail = "tls" ou "starttls" ; "none" seulement si le serveur est cet ordinateur
expected-user-and-password = user et password_file ensemble, ou aucun des deux
expected-webhook-url = une URL de la forme https://…, ou http://… sur cet ordinateur, sans compte
expected-other-webhook = une URL qu’aucun autre webhook ne porte
expected-idempotency-key = 1 à 64 caractères ASCII visibles sont attendus
expected-known-organisation = il n’y a pas d’organisation avec ce code
expected-no-organisation = un gestionnaire du CTP n’appartient à aucune organisation
expected-one-organisation = un gestionnaire d’enregistrement appartient à exactement une organisation
expected-organisation-code = 2 à 16 lettres majuscules et chiffres sont attendus
expected-organisation-name = un nom est attendu qui, avec le code et « - », a au plus 64 caractères, sans caractères de contrôle
expected-pending-by-name = seul ce qui est en attente est listé par nom : ajoutez state=pending ou choisissez un autre ordre
expected-outcome = attendu : « { $state } », selon le type de demande
expected-package-kind = un paquet enrôle des postes de travail, des serveurs ou des mobiles ; external_requests permet les serveurs externes
expected-person = un nom de 1 à 64 caractères est attendu, sans caractères de contrôle
expected-place = un texte de 1 à { $limit } caractères est attendu, sans caractères de contrôle
expected-absolute-path = un chemin depuis la racine, tel que /usr/lib/softhsm/libsofthsm2.so
expected-token = le nom du jeton, de 32 octets au plus, ou son numéro de série par token_serial
expected-token-key = le nom de la clé, ou son identifiant par key_id
expected-hexadecimal = des paires de chiffres hexadécimaux
expected-pin-file = le fichier du code PIN du jeton, ou ce code comme credential ca-pin de systemd
expected-key = est attendu l’un de : { $keys }
expected-future = un moment à venir est attendu
expected-days = 0 à { $limit } jours sont attendus
expected-reason = un motif est attendu

# Pourquoi quelque chose n’est pas permis ou pas possible.
forbidden-not-a-manager = seuls les gestionnaires en ont le droit
forbidden-not-for-managers = ce n’est pas aux gestionnaires de le faire
forbidden-ptc-only = seul un gestionnaire du CTP en a le droit
forbidden-not-the-maker = seul l’auteur de cette décision groupée peut le faire
forbidden-ptc-kind = seul un gestionnaire du CTP décide de ce type
forbidden-package-disabled = le paquet d’installation n’est plus en service
forbidden-package-expired = le paquet d’installation pouvait être utilisé jusqu’au { $at }
forbidden-package-replaced = un paquet d’installation plus récent a remplacé celui-ci
conflict-manager-disabled = le gestionnaire n’est plus en fonction
conflict-package-replaced = le paquet d’installation { $id } a remplacé celui-ci
conflict-decided = l’état est « { $state } » depuis { $at }, décidé par { $by }
conflict-bulk-started = la décision groupée est déjà lancée
conflict-bulk-draft-over = les demandes ont été montrées il y a trop longtemps ; affichez-les de nouveau
conflict-bulk-not-running = la décision groupée n’est pas en cours
conflict-state = l’état est « { $state } »
superseded-csr = la demande contient un autre CSR
superseded-request = la demande { $number } a remplacé celle-ci
thing-manager = Un gestionnaire avec l’adresse { $email }
thing-organisation = L’organisation { $code }

# La sortie de ptc-enrollment.
warning-line = Attention : { $warning }
table-empty = Rien à lister.
table-more = La suite : --after { $next }
yes = oui
no = non
manager-pkcs12 = Pour les navigateurs et Windows : manager.p12 au même endroit ; son mot de passe est dans manager.p12.password.txt.
init-done =
    Le service pour l’environnement « { $environment } » est installé dans { $home }.
    Ancre de confiance, SHA-256 : { $fingerprint }
    Clé et certificat de { $manager } (gestionnaire du CTP) : { $out }
    { manager-pkcs12 }

    Ensuite : ptc-enrollment --home { $home } org add --code CODE --name NOM --country XX
              ptc-enrollment --home { $home } serve
org-added = Organisation { $name } ajoutée.
package-created =
    Paquet d’installation { $id } pour { $organisation } : { $places }
    Ancre de confiance, SHA-256 : { $fingerprint }
    Transmettez le paquet par une voie sûre : il contient le secret d’enrôlement, conservé nulle part ailleurs.
package-disabled = Le paquet d’installation { $id } n’est plus en service.
package-replaced = Le paquet d’installation { $id } peut être utilisé jusqu’au { $until }.
manager-added =
    Gestionnaire { $id }, { $name }, ajouté ; certificat { $serial }.
    Clé et certificat : { $out }
    { manager-pkcs12 }
manager-reissued =
    Gestionnaire { $id }, { $name } : nouveau certificat { $serial }. Les anciens restent valables jusqu’à leur fin.
    Clé et certificat : { $out }
    { manager-pkcs12 }
manager-reissued-alone =
    Gestionnaire { $id }, { $name } : nouveau certificat { $serial }. Les anciens sont révoqués.
    Clé et certificat : { $out }
    { manager-pkcs12 }
manager-language = Les messages à { $name } sont écrits dans la langue « { $language } ».
manager-disabled = { $name } n’est plus en fonction ; ses certificats sont révoqués.
certificate-revoked = Le certificat { $serial } ({ $subject }) est révoqué ; une nouvelle liste de révocation est publiée.
audit-intact =
    Le journal d’audit est intact : { $entries } entrées.
    Empreinte de la dernière entrée, à noter ailleurs : { $head }

# Titres des colonnes.
column-number = Numéro
column-organisation = Organisation
column-email = Courriel
column-code = Code
column-country = Pays
column-name = Nom
column-role = Rôle
column-store = Magasin
column-external = Externes
column-created = Créé le
column-expires = Utilisable jusqu’au
column-disabled = Désactivé
column-serial = Numéro de série
column-not-after = Valable jusqu’au
column-revoked = Révoqué le
column-subject = Sujet
column-key = Clé
column-csr = CSR, SHA-256
column-approver = À approuver par
column-decided = Décidée le
column-decided-by = Décidée par
column-reason = Motif
column-replaces = Remplace la demande
column-replaced-by = Remplacée par la demande
column-telephone = Téléphone
column-description = Description
column-host = Nom d’hôte
column-mac = Adresse MAC
column-nic = Identifiant NIC
column-processor = Identifiant du processeur
column-system = Système d’exploitation
column-root-key = Clé racine
column-issuing-key-file = Clé émettrice, fichier
column-root-crl = Liste de la racine, valable jusqu’au
column-issuing-revoked = AC émettrice révoquée
column-issuing-key-token = Clé émettrice, jeton
column-extractable = Le jeton la laisse sortir
column-made-inside = Créée dans le jeton
column-this-update = Valable dès
column-next-update = Valable jusqu’au
column-written = Écrite dans
column-time = Heure
column-actor = Acteur
column-action = Action
column-object = Objet
column-detail = Détail

# demo

demo-client = Construction du client qui va avec ce service …
demo-no-client = Le client { $path } n’est pas là.
    .hint = Construisez-le avec « cargo build --bin ptc-enroll », ou placez-le à côté de ce programme.
demo-building = Une démonstration de PTC Enroll : service, AC, une organisation, son paquet d’installation et les deux gestionnaires, dans { $folder }
demo-ready = Tout fonctionne. Collez ces lignes dans un autre terminal, l’une après l’autre :
demo-stop = Ctrl-C ici termine la démonstration et supprime son dossier (sauf s’il a été choisi par « --folder »).
demo-stopping = La démonstration se termine.
demo-step-submit = créer une clé et une demande pour cette machine
demo-step-queue = voir la file d’attente en tant que gestionnaire d’enregistrement, en TLS mutuel
demo-step-pages = ou dans un navigateur ; le mot de passe du fichier est dans { $password }
demo-step-approve = l’approuver
demo-step-fetch = installer le certificat
demo-step-test = prouver qu’il fonctionne
demo-step-subject = afficher le nom de son sujet
demo-step-audit = vérifier le registre de toutes les décisions
demo-approve = [{ $manager }] approuve la demande { $number } en TLS mutuel : { $subject } ({ $key }, SHA-256 du CSR { $sha256 })
demo-external = L’administrateur de { $host } y a créé une clé et une demande (CSR), et a envoyé celle-ci : { $file }
demo-done = Terminé : cette machine est enrôlée et testée, et le certificat du serveur externe est téléchargé.
demo-failed = La démonstration a échoué : { $cause }
    .hint = Lisez ce qui est affiché plus haut ; relancez avec « --folder DOSSIER » pour examiner ses fichiers.
expected-no-reason = vide pour une approbation ; pour rejeter, utilisez « Rejeter »
expected-csr-sha256 = avec la demande { $number }, l’empreinte SHA-256 de sa CSR est attendue en 64 chiffres hexadécimaux minuscules
expected-each-once = chaque demande est attendue une seule fois ; { $number } figure deux fois
expected-pending = seul ce qui est en attente peut être décidé
expected-pending-here = aucune demande en attente dont vous décidez ne correspond
expected-selection = sélectionnez au moins une demande
expected-at-most-rows = { $limit } au plus à la fois
expected-one-of = une valeur parmi : { $words }
expected-choice = choisissez une valeur
expected-day = un jour tel que 2027-12-31

# Avis par courriel ; le titre est l’objet.
notice-pending =
    Une demande de certificat attend votre décision.

    Demande :      { $number }
    Organisation : { $organisation }
    Type :         { $kind }
    Nom commun :   { $common_name }
    Description :  { $description }
    Soumise le :   { $submitted }

    Pour l’examiner et décider : { $url }

    PTC Enroll, environnement « { $environment } »
    .title = PTC Enroll ({ $environment }) : la demande { $number } de { $organisation } attend votre décision
notice-approved =
    L’autorité d’enregistrement a approuvé cette demande :

    Demande :      { $number }
    Organisation : { $organisation }
    Type :         { $kind }
    Nom commun :   { $common_name }

    Le certificat peut être retiré : lancez « ptc-enroll fetch » sur la machine qui a soumis la demande.

    PTC Enroll, environnement « { $environment } »
    .title = PTC Enroll ({ $environment }) : la demande { $number } est approuvée
notice-rejected =
    L’autorité d’enregistrement a rejeté cette demande :

    Demande :      { $number }
    Organisation : { $organisation }
    Type :         { $kind }
    Nom commun :   { $common_name }
    Motif :        { $reason }

    Corrigez ce que dit le motif et soumettez une nouvelle demande, ou adressez-vous à votre gestionnaire d’enregistrement.

    PTC Enroll, environnement « { $environment } »
    .title = PTC Enroll ({ $environment }) : la demande { $number } est rejetée
notice-revoked =
    L’autorité d’enregistrement a révoqué le certificat de cette demande :

    Demande :      { $number }
    Organisation : { $organisation }
    Type :         { $kind }
    Nom commun :   { $common_name }
    Motif :        { $reason }

    La machine n’est plus acceptée. Si elle doit l’être, adressez-vous à votre gestionnaire d’enregistrement et soumettez
    une nouvelle demande.

    PTC Enroll, environnement « { $environment } »
    .title = PTC Enroll ({ $environment }) : le certificat de la demande { $number } est révoqué
notice-reminder =
    { $count ->
        [one] Une demande attend votre décision depuis des jours :
       *[other] { $count } demandes attendent votre décision depuis des jours :
    }
    .title =
        PTC Enroll ({ $environment }) : { $count ->
            [one] une demande attend
           *[other] { $count } demandes attendent
        } toujours votre décision
notice-reminder-line = { $number }, { $common_name } ({ $kind }, { $organisation }), depuis le { $submitted } : { $url }
notice-reminder-more =
    { $count ->
        [one] et une autre
       *[other] et { $count } autres
    }
file-not-text = { $path } ne contient pas de secret sous forme de texte en une ligne.
    .hint = Écrivez le secret dans le fichier sur une seule ligne.
notice-secret-short = Le secret dans { $path } a moins de 32 caractères.
    .hint = Créez-en un autre : openssl rand -hex 32
notice-mail-tls = La connexion TLS au serveur de messagerie ne peut pas être préparée : { $cause }
    .hint = Vérifiez mail.server dans enrollment.toml et les certificats de confiance du système.

# Décisions groupées en ligne de commande.
bulk-not-all = { $count ->
    [one] Une demande n’a pas été décidée.
   *[other] { $count } demandes n’ont pas été décidées.
}
    .hint = Lisez le résultat de chacune ; ce qui ne va pas chez l’une n’a pas arrêté les autres.
bulk-would = { $count ->
    [one] Une demande serait décidée, { $warned } avec avertissements. Rien ne l’a été.
   *[other] { $count } demandes seraient décidées, { $warned } avec avertissements. Rien ne l’a été.
}
bulk-done = Décision groupée { $id } : { $approved } approuvées, { $rejected } rejetées, { $refused } non décidées, { $stopped } arrêtées avant leur tour.
bulk-none-pending = Rien à décider : aucune demande en attente ne correspond.
bulk-more = D’autres demandes attendent, au-delà de ce que prend une décision groupée : la même commande continue avec elles.
bulk-working = décision en cours
records-working = copie et comparaison des lignes
column-outcome = Résultat
column-warnings = Avertissements
ca-key-encrypted = { $path } est chiffrée avec la nouvelle phrase secrète.
ca-key-decrypted = { $path } n’est plus chiffrée.
ca-key-absent = pas ici
ca-key-plain = ici, en clair
ca-key-under-passphrase = ici, chiffrée
ca-keys-unchanged = Les clés de l’AC l’étaient déjà.
ca-passphrase-next = Avant le prochain démarrage : ca_passphrase_file = "{ $path }" dans enrollment.toml, ou le credential ca-passphrase de systemd. Gardez une copie de la phrase secrète à part des sauvegardes : sans elle, l’AC est perdue.
ca-passphrase-unused = Retirez ca_passphrase_file d’enrollment.toml, ou le credential de l’unité systemd : la phrase secrète ne sert plus.

backup-none = Il n’y a pas de sauvegarde dans { $path }.
    .hint = Donnez le dossier que « ptc-enrollment backup --to » a fait : manifest.json s’y trouve.
backup-newer = Une version plus récente de ce programme ({ $program }) a fait la sauvegarde { $path }.
    .hint = Utilisez cette version.
backup-damaged = Le fichier { $path } manque dans la sauvegarde, ou n’est pas tel qu’il a été écrit.
    .hint = Rien n’a été fait. Prenez une autre copie de la sauvegarde, ou une plus ancienne.
transfer-differs = Ce qui a été écrit dans la table { $table } n’est pas ce qui a été lu.
    .hint = Rien n’a été changé. Vérifiez la mémoire et le disque, et donnez le journal à l’assistance.
transfer-settings-text = Le réglage de la base de données dans { $path } ne peut pas être changé par un programme.
    .hint = Écrivez chaque réglage sur sa propre ligne, sans guillemets autour de son nom : environment = "…"
backup-done = La sauvegarde est dans { $to }. Chaque fichier a été relu et est tel qu’il a été écrit.
backup-environment = Environnement
backup-taken = Prise le
backup-requests = Demandes
backup-certificates = Certificats
backup-records = Lignes de toutes les tables
backup-files = Fichiers du dossier
backup-audit = Entrées du journal d’audit
backup-head = Empreinte de la dernière
backup-keys-absent = Les clés de l’AC n’y sont pas.
backup-keys-encrypted = Les clés de l’AC y sont, chiffrées. La phrase secrète n’y est pas : gardez-en une copie à part.
backup-keys-plain = Les clés de l’AC y sont, non chiffrées : qui peut lire la sauvegarde peut signer. Gardez-la aussi bien qu’elles.
backup-token = La clé émettrice est dans un jeton, pas dans la sauvegarde : { $key }. Gardez à part une copie du jeton, son code PIN et ce que lit { $module }.
backup-left-out = N’y est pas, à garder à part : { $path }
restore-done = L’installation est dans { $home }, sa base de données est { $database }. Chaque ligne a été relue et comparée.
restore-old =
    Ce qui s’est passé après { $taken } n’y est pas :
    - Les révocations faites depuis sont à refaire, avant le démarrage.
    - Les certificats émis depuis sont inconnus : ils sont refusés sur l’écoute sécurisée et ne peuvent pas être révoqués ici. Faites soumettre ces machines à nouveau.
    - Des numéros de demandes sont donnés une seconde fois.
    Le premier démarrage publie une nouvelle liste de révocation, au numéro plus grand que tous les précédents.
restore-missing = Manque, nommé par les réglages : { $path }
restore-token-here = La clé émettrice est dans un jeton, qui est ici : { $key }.
restore-token-away = La clé émettrice est dans un jeton, pas dans la sauvegarde : { $key }. Sans lui, le service ne démarre pas : apportez ici le jeton, son code PIN et le module. { $cause }
restore-passphrase = Les clés de l’AC sont chiffrées : le service a besoin de la phrase secrète, par ca_passphrase_file dans enrollment.toml ou par le credential ca-passphrase de systemd.
restore-next = Donnez les fichiers au compte du service avant le démarrage : chown -R ptc-enrollment: { $home }

move-on-server = La base de données est déjà sur un serveur : { $path }.
    .hint = Il n’y a rien à déplacer ; un déplacement interrompu à sa toute fin est complet. D’un serveur à un autre : « backup », puis « restore --database ».
move-elsewhere = La base de données a déjà été déplacée vers { $path }, et plus rien n’est écrit dans le fichier ; enrollment.toml ne la nomme pas encore.
    .hint = Relancez la commande avec l’URL que vous aviez donnée pour ce serveur.
move-unnamed = La base de données est désormais sur le serveur, et plus rien n’est écrit dans le fichier, mais { $path } n’a pas pu être changé : { $cause }
    .hint = Corrigez cela et relancez la même commande ; ou écrivez dans { $path }, avant la première table, chacune sur sa ligne : { $lines }
move-would = { $rows } lignes seraient déplacées vers { $to }, qui est vide ou qu’un déplacement interrompu a commencé à remplir. Rien n’a été déplacé.
move-done =
    { $rows } lignes ont été déplacées vers { $to }, chacune relue là-bas et comparée. enrollment.toml la nomme.
    Pendant { $seconds } secondes, personne ne pouvait écrire.
move-ended = Un déplacement interrompu est terminé : la base de données est sur { $to }, et enrollment.toml la nomme.
move-next = Un service en marche y passe de lui-même en quelques secondes ; d’ici là il répond 503 aux écritures, et les clients reviennent. { $file } reste tel quel et n’est plus ouvert : gardez-le jusqu’à ce que vous ayez une sauvegarde du serveur.
