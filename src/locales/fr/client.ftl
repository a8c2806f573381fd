# Ce que dit ptc-enroll.

header = Environnement : { $environment }
    Service :       { $url }

line-error = Erreur : { $message }
line-detail = {"  "}- { $detail }
line-hint = Suite :  { $hint }
line-request-id = À citer à l’assistance : { $id }

# Erreurs. La valeur dit quoi et pourquoi, « hint » que faire ensuite.

error-unexpected = Il s’est produit quelque chose d’imprévu.
    .hint = Relancez la commande avec « -vv » et donnez ce qu’elle affiche à l’assistance.
error-output = Le résultat ne peut pas être écrit : { $reason }.
    .hint = Vérifiez le disque ou le programme qui lit le résultat ; ce qui a été fait est enregistré.
error-csr = La demande de certificat (CSR) enfreint des règles et n’a pas été envoyée.
    .hint = Faites une nouvelle demande qui respecte toutes les règles citées.
error-private-key = C’est une clé privée, pas une demande de certificat (CSR). Elle n’a pas été envoyée.
    .hint = Indiquez la demande (CSR) faite avec cette clé ; gardez la clé là où elle sert.
error-revoked = Non envoyée : le certificat de la demande { $number } a été révoqué, et cette clé est la sienne.
    .hint = Créez une nouvelle clé et une nouvelle CSR. Si cette clé reste bonne malgré tout, « --again » l’envoie encore une fois.
error-no-certificate = Aucun certificat de cet environnement n’est installé ici.
    .hint = Lancez « ptc-enroll submit » puis, après l’approbation, « ptc-enroll fetch ».
error-clipboard = Le presse-papiers n’accepte pas le texte : { $reason }.
    .hint = Lancez la commande sans « --copy » et copiez la ligne à la main ; un presse-papiers exige une session de bureau.

error-no-package = Aucun paquet d’installation dans { $folder }.
    .hint = Décompressez-y le paquet remis par votre gestionnaire du CTP, ou indiquez son dossier avec « --home ».
error-several-packages = Plusieurs environnements sont installés : { $environments }.
    .hint = Choisissez-en un avec « --environment NOM ».
error-unknown-environment = L’environnement « { $environment } » n’est pas installé ; voici ceux qui le sont : { $environments }.
    .hint = Vérifiez le nom, ou décompressez le paquet d’installation de cet environnement.
error-package-file = Le fichier { $path } du paquet d’installation est illisible : { $reason }.
    .hint = Vérifiez que le paquet est décompressé en entier et que ce compte peut le lire.
error-package-manifest = Le paquet d’installation n’est pas authentique : { $path } : { $reason }.
    .hint = Ne l’utilisez pas. Demandez un nouveau paquet au gestionnaire du CTP et vérifiez l’horloge de cette machine.
error-package-changed = Le paquet d’installation a été modifié : { $path } n’est pas le fichier signé.
    .hint = Décompressez à nouveau le paquet d’origine ; si c’est bien lui, demandez-en un nouveau au gestionnaire du CTP.
error-package-content = Le paquet d’installation est inutilisable : { $path } : { $reason }.
    .hint = Mettez ptc-enroll à jour, ou demandez un nouveau paquet au gestionnaire du CTP.
error-package-foreign = Le paquet d’installation de « { $environment } » vient d’un autre service que celui connu ici (ancre de confiance { $found }, connue { $known }).
    .hint = Ne l’utilisez que si le gestionnaire du CTP confirme le changement ; supprimez alors { $pin } et réessayez.

error-answers = Le fichier de réponses { $path } est inutilisable : { $reason }
    .hint = Corrigez la ligne ; docs/user-guide.md donne la liste des champs.
error-file = { $path } est illisible : { $reason }.
    .hint = Vérifiez le nom et les droits.
error-not-a-file = { $path } est un dossier, un périphérique ou un tube, pas un fichier.
    .hint = Indiquez un fichier ; rien n’a été envoyé.
error-no-requests = Le dossier { $folder } ne contient aucune demande de certificat (.csr, .req, .p10, .pem, .der).
    .hint = Indiquez le dossier qui les contient, ou les fichiers.
error-no-match = Aucun fichier ne correspond à { $pattern }.
    .hint = Vérifiez le motif ; « * » vaut pour une partie quelconque d’un nom, « ? » pour un caractère, « ** » pour les dossiers en dessous.
error-report = Le rapport { $path } ne peut être écrit : { $reason }.
    .hint = Nommez un fichier dans un dossier où ce compte peut écrire. Si les demandes ont été envoyées, la même commande dit à nouveau où chacune en est.
error-report-not-a-file = Le rapport { $path } prendrait la place d’un dossier, d’un lien, d’un périphérique ou d’un tube.
    .hint = Indiquez un autre fichier, ou celui où mène le lien ; rien n’a été envoyé.
error-report-in-place = Le rapport { $path } prendrait la place d’un fichier lu ici, ou de ce que ptc-enroll conserve.
    .hint = Indiquez un autre fichier ; rien n’a été envoyé.
error-manifest = Le manifeste { $path } contient des erreurs ; rien n’a été envoyé.
    .hint = Corrigez les lignes indiquées ; une première ligne telle que « csr;host_name;email » nomme les colonnes.
error-missing-field = { $field } est nécessaire et n’a pas été donné.
    .hint = Donnez { $field }, définissez la variable { $variable }, ou mettez-le dans un fichier pour « --answers ».
error-invalid-field = { $field } « { $value } » n’est pas valable : il faut { $expected }.
    .hint = Corrigez la valeur ; rien n’a été envoyé.
error-no-external-requests = Ce paquet d’installation ne permet pas de demandes pour des serveurs externes.
    .hint = Demandez au gestionnaire du CTP un paquet qui le permet.

error-not-known = Aucune demande { $number } n’est connue ici.
    .hint = « ptc-enroll status » liste celles qui le sont.
error-still-open = La demande { $number } peut encore évoluer ; son enregistrement est nécessaire.
    .hint = Lancez « ptc-enroll fetch » pour la mettre à jour.

manifest-line = ligne { $line } : { $mistake }
manifest-column = ligne { $line }, colonne { $column } : { $mistake }
manifest-column-unknown = cette colonne est inconnue ; à côté de csr il y a { $known }
manifest-column-unnamed = la colonne { $place } n’a pas de nom ; nommez-la, ou ôtez le séparateur
manifest-column-repeated = cette colonne figure plus d’une fois
manifest-no-csr-column = aucune colonne ne s’appelle csr
manifest-no-csr = le fichier de la CSR manque
manifest-not-a-file = « { $value } » est un dossier, un périphérique ou un tube, pas un fichier
manifest-csr-repeated = le même fichier figure à la ligne { $first }
manifest-count = { $found } valeurs pour { $expected } colonnes
manifest-not-utf8 = ce n’est pas de l’UTF-8 ; enregistrez le fichier en « CSV UTF-8 »
manifest-quote-open = le guillemet qui ouvre une valeur ici n’est jamais fermé ; dans une valeur entre guillemets, un guillemet s’écrit deux fois
manifest-quote-closed = du texte suit le guillemet fermant d’une valeur qui commence à la ligne { $opened } : il manque un guillemet, ou il y en a un de trop ; dans une valeur entre guillemets, il s’écrit deux fois
manifest-value = « { $value } » n’est pas valable : attendu est { $expected }
manifest-empty = aucun serveur ne figure sous les noms des colonnes

wanted-email = une adresse électronique, par exemple nom@operateur.example
wanted-host-name = un nom d’hôte public ou une URL, par exemple api.operateur.example, 64 caractères au plus
wanted-machine-name = 64 caractères au plus parmi les lettres ASCII, les chiffres, « - », « _ » et « . »
wanted-key = rsa-2048, rsa-3072, rsa-4096, ec-p256 ou ec-p384
wanted-plain-text = un texte simple sans caractère de contrôle ou invisible
wanted-text = un texte sans caractère de contrôle autre que tabulations et fins de ligne
wanted-os-type = 64-bit ou 32-bit
wanted-at-most = { $limit } caractères au plus
wanted-replaced = keep, archive ou remove

error-no-adapter = Cette machine n’a pas de carte réseau d’après laquelle la nommer.
    .hint = Donnez-lui un nom avec « --common-name ».

error-key-generation = La clé ne peut pas être créée : { $reason }.
    .hint = Réessayez ; si cela persiste, choisissez un autre « --key ».
error-key-request = La demande de certificat (CSR) ne peut pas être créée : { $reason }.
    .hint = Vérifiez les champs qui forment le nom.
error-key-random = Le système ne donne pas de nombres aléatoires.
    .hint = Redémarrez la machine ; si cela persiste, adressez-vous à son fournisseur.

error-journal-file = Les enregistrements sous { $path } ne peuvent être ni écrits ni lus : { $reason }.
    .hint = Vérifiez le disque et les droits (sous Windows, ouvrez la console par « Exécuter en tant qu’administrateur ») ; une exécution interrompue reprend à partir d’eux.
error-journal-damaged = L’enregistrement { $path } est endommagé : { $reason }.
    .hint = Restaurez-le d’une sauvegarde, ou déplacez-le et soumettez à nouveau.
error-journal-busy = Un autre ptc-enroll est à l’œuvre et tient { $path }.
    .hint = Attendez sa fin, puis relancez la commande.

error-not-elevated = Le magasin de la machine, { $path }, exige les droits d’administrateur : { $reason }.
    .hint = Lancez la commande avec les droits d’administrateur (sudo ; sous Windows, un PowerShell ouvert par « Exécuter en tant qu’administrateur »), ou installez pour ce seul compte avec « --store user ».
error-store-file = Le magasin de certificats est inutilisable : { $path } : { $reason }.
    .hint = Vérifiez le disque et les droits.
error-store-no-key = La clé privée { $path } n’est plus là.
    .hint = Soumettez une nouvelle demande avec « ptc-enroll submit ».
error-store-exposed = D’autres peuvent lire la clé privée { $path }.
    .hint = Soumettez une nouvelle demande, car cette clé est peut-être connue ; supprimez ensuite celle-ci.
error-store-damaged = { $path } n’est pas ce qui y avait été enregistré.
    .hint = Restaurez-le d’une sauvegarde, ou soumettez une nouvelle demande avec « ptc-enroll submit ».
error-store-key-kind = Le magasin de certificats de Windows n’accepte ici que des clés RSA, pas { $key }.
    .hint = Choisissez « --key rsa-2048 », rsa-3072 ou rsa-4096.
error-unknown-account = Le compte « { $account } » est inconnu sur cette machine.
    .hint = Vérifiez le nom donné à « --grant-read », par exemple « NETWORK SERVICE » ou « DOMAINE\compte ».
error-no-readers = « --grant-read » ne fonctionne qu’avec le magasin de la machine sous Windows.
    .hint = Omettez-le, ou installez pour la machine avec « --store machine » ; là où les clés sont des fichiers, leur groupe ou une ACL les ouvre.

error-certificate-unreadable = Le service a envoyé un certificat illisible ; il n’a pas été installé.
    .hint = Prévenez le gestionnaire du CTP ; relancez « ptc-enroll fetch » plus tard.
error-certificate-key = Le certificat est celui d’une autre clé ; il n’a pas été installé.
    .hint = Prévenez le gestionnaire du CTP et soumettez une nouvelle demande.
error-certificate-name = Le certificat nomme « { $found } », la demande portait sur « { $expected } » ; il n’a pas été installé.
    .hint = Prévenez le gestionnaire du CTP et soumettez une nouvelle demande.
error-certificate-chain = Le certificat ne mène pas à l’ancre de confiance du paquet, ou n’est pas valable maintenant ({ $reason }) ; il n’a pas été installé.
    .hint = Vérifiez l’horloge de cette machine, puis prévenez le gestionnaire du CTP.
error-certificate-file = Le certificat ne peut pas être écrit dans { $path } : { $reason }.
    .hint = Vérifiez le disque et les droits, puis relancez « ptc-enroll fetch ».

error-unreachable = Le service { $url } est inaccessible : { $reason }.
    .hint = Vérifiez le réseau, le proxy et le pare-feu, puis relancez la commande ; rien n’est perdu.
error-timed-out = Le service { $url } n’a pas répondu à temps.
    .hint = Vérifiez le réseau, puis relancez la commande ; rien n’est perdu.
error-not-the-service = Quelqu’un d’autre répond à { $url } : { $found }.
    .hint = Un proxy ou une page de connexion du réseau s’interpose sans doute. Connectez-vous au réseau ou demandez une exception, puis relancez la commande.
error-untrusted = Le certificat de { $url } n’est pas digne de confiance : { $reason }.
    .hint = Quelqu’un écoute peut-être, ou le paquet est celui d’un autre service. Interrogez le gestionnaire du CTP avant de continuer.
error-untrusted-clock = Le certificat de { $url } n’est pas valable à l’heure de cette machine, { $here } ; sa limite est { $limit }, à { $difference } de là.
    .hint = Réglez l’horloge de cette machine. Si elle est juste, prévenez le gestionnaire du CTP.
error-client-certificate-refused = { $url } n’accepte pas le certificat de cette machine : { $reason }.
    .hint = Lancez « ptc-enroll fetch » pour voir s’il est révoqué ; si oui, soumettez une nouvelle demande.

# Champs

field-common-name = Nom commun
field-organisation = Organisation
field-organisational-unit = Unité organisationnelle
field-locality = Localité
field-region = État ou région
field-country = Pays
field-email = Courriel
field-telephone = Téléphone
field-description = Description
field-key = Clé
field-host-name = Nom d’hôte
field-mac-address = Adresse MAC
field-nic-id = Identifiant réseau
field-processor-id = Identifiant processeur
field-os = Système d’exploitation
field-store = Magasin
field-secure-url = Connecté à
field-subject = Connu comme
field-kind = Type
field-serial = Numéro de série
field-valid = Valable
field-clock = Horloges
field-location = Certificat

ask-email = Adresse électronique du responsable :
ask-locality = Localité de cette machine :
ask-region = État ou région (Entrée : aucun) :
ask-common-name = Nom d’hôte public ou URL de ce serveur :
ask-description = Description pour l’approbateur (Entrée : aucune) :
ask-other = { $field } :

# Progression

making-key = Création d’une clé …
another-run = Un autre ptc-enroll est à l’œuvre ; attente de sa fin …
waiting = Attente de l’approbation …
checking = Vérification …
sending = Envoi …
fetching = Récupération …
testing = Connexion …

# Comptes rendus

submit-dry-run = Rien n’a été envoyé : c’était un essai à blanc.
submit-resumed = Une exécution antérieure avait été interrompue ; celle-ci a terminé sa demande.
submit-pending = La demande { $number } est soumise. Elle attend l’approbation du { $approver }.
submit-decided = La demande { $number } est soumise. État : { $state }.
submit-replaces = Elle remplace la demande { $number }, qui est annulée.
submit-next = Suite : lancez « ptc-enroll fetch », ou « ptc-enroll fetch --wait 10m » pour attendre l’approbation.

fetch-nothing = Aucune demande n’est connue ici. « ptc-enroll submit » en fait une.
fetch-not-sent = { $name } : pas encore envoyée.
fetch-pending = La demande { $number } ({ $common_name }) attend l’approbation du { $approver }.
fetch-installed = Demande { $number } ({ $common_name }) : approuvée ; le certificat est installé dans { $location }.
fetch-downloaded = Demande { $number } ({ $common_name }) : approuvée ; le certificat est écrit dans { $location }.
fetch-rejected = La demande { $number } ({ $common_name }) est rejetée : { $reason }
fetch-cancelled = La demande { $number } ({ $common_name }) est annulée, car la demande { $newer } l’a remplacée.
fetch-revoked = Demande { $number } ({ $common_name }) : le certificat est révoqué : { $reason }
fetch-state = Demande { $number } ({ $common_name }) : { $state }.
retiring-failed = Le certificat remplacé reste tel quel
fetch-next-pending = Suite : relancez « ptc-enroll fetch » plus tard, ou « ptc-enroll fetch --wait 10m ».
fetch-next-installed = Suite : lancez « ptc-enroll test ».

forget-done = L’enregistrement de la demande { $number } est supprimé.

status-nothing = Aucune demande n’est connue ici.
state-not-sent = Pas encore envoyée

subject-copied = Le nom est dans le presse-papiers.

test-until = jusqu’au { $date } (reste { $days ->
        [one] { $days } jour
       *[other] { $days } jours
    })
test-clock-equal = cette machine et le service sont d’accord
test-clock-ahead = cette machine avance de { $difference } sur le service
test-clock-behind = cette machine retarde de { $difference } sur le service
test-clock-warning = Attention : les horloges diffèrent de { $difference }. Réglez l’horloge de cette machine.
test-good = Le certificat fonctionne : les deux côtés se sont authentifiés.

external-checked = { $file } : bon ({ $common_name }).
external-submitted = { $file } : soumis, demande { $number } ({ $common_name }).
external-known = { $file } : déjà soumis, demande { $number } ({ $common_name }).
external-replaced = { $file } : non envoyé : la demande { $newer } a pris la place de la demande { $number } ({ $common_name }).
external-replaced-since = La demande { $newer } a pris sa place.
external-failed = { $file } : { $message }
external-summary = { $good } bonnes, { $failed } en échec.
external-next = Suite : lancez « ptc-enroll fetch » pour télécharger ce qui est approuvé.
