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
problem-caller-revoked = Le certificat présenté est révoqué, ou son titulaire est désactivé.
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
problem-csr-refused = La demande de certificat (CSR) enfreint des règles.
    .title = Demande de certificat (CSR) refusée
    .hint = Faites une nouvelle demande qui respecte toutes les règles citées.
problem-idempotency-mismatch = La clé d’idempotence a déjà servi, avec un autre corps.
    .title = Clé d’idempotence déjà utilisée
    .hint = Prenez une nouvelle clé pour une nouvelle demande.
problem-invalid-field = { $field } n’est pas valable : { $detail }
    .title = Champ non valable
    .hint = Corrigez le champ et renvoyez.
problem-too-many-requests = Trop d’appels.
    .title = Trop d’appels
    .hint = Attendez le temps indiqué par Retry-After, puis réessayez.
problem-internal = Le service a échoué.
    .title = Erreur interne
    .hint = Réessayez ; si cela persiste, donnez l’identifiant de la demande à l’assistance.
problem-unavailable = Le service ne peut pas répondre maintenant.
    .title = Momentanément indisponible
    .hint = Attendez le temps indiqué par Retry-After, puis réessayez.

file-exists = { $path } existe déjà et n’est pas écrasé.
    .hint = Choisissez un autre emplacement, ou déplacez d’abord ce qui s’y trouve.
file-missing = { $path } manque.
    .hint = Vérifiez le chemin ; si le fichier existait, restaurez-le depuis une sauvegarde.
file-too-open = { $path } contient un secret que d’autres comptes peuvent lire (droits { $mode }).
    .hint = Si personne d’autre ne l’a lu : chmod 600 { $path }
file-system = { $path } ne peut être ni lu ni écrit : { $cause }
    .hint = Vérifiez le chemin, ses droits et l’espace libre.

credential-malformed = { $path } ne contient pas ce que dit son nom, au format PEM.
    .hint = Restaurez le fichier depuis une sauvegarde.
credential-mismatch = La clé { $key } et le certificat { $certificate } ne vont pas ensemble.
    .hint = Restaurez les deux fichiers depuis la même sauvegarde.
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
    2. Ouvrez une console dans ce dossier (en tant qu’administrateur si le magasin est « machine ») et tapez :

           ptc-enroll --home . submit

       La commande demande ce qu’elle doit savoir et dit qui approuvera la demande.
    3. Quand la demande est approuvée, tapez :

           ptc-enroll --home . fetch
           ptc-enroll --home . test

    Le fichier « enrollment-secret » permet à son détenteur de demander des certificats au nom de l’organisation.
    Réservez-le aux administrateurs et n’envoyez pas le paquet par simple courriel.
    S’il est tombé en d’autres mains, prévenez le gestionnaire du CTP, qui fera un nouveau paquet.
